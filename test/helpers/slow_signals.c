/* Preloaded, it makes rclpy's thread of signals slow: after each guard condition that it triggers it sleeps, as if the
 * computer had just given its core to somebody else. RCL is the path of librcl.so. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

int rcl_trigger_guard_condition(void * guard_condition)
{
  static int (* original)(void *);
  if (!original) {
    original = (int (*)(void *))dlsym(dlopen(getenv("RCL"), RTLD_LAZY), "rcl_trigger_guard_condition");
  }
  int result = original(guard_condition);
  if (syscall(SYS_gettid) != getpid()) {
    usleep(100 * 1000);
  }
  return result;
}
