// Runs examples/slow_for_hidden.hpp on objects given as numbers, a line each: state, existence, may_emerge, earliest_s,
// point x and y, position x and y. Prints the speed allowed to a robot at the origin that drives along x at 3 m/s.

#include <iostream>

#include "slow_for_hidden.hpp"

int main()
{
  a2vis_ros::msg::TrackedObjectArray message;
  double state, existence, may_emerge, earliest, x, y, position_x, position_y;
  while (std::cin >> state >> existence >> may_emerge >> earliest >> x >> y >> position_x >> position_y) {
    a2vis_ros::msg::TrackedObject found;
    found.class_name = "person";
    found.state = static_cast<std::uint8_t>(state);
    found.existence = static_cast<float>(existence);
    if (may_emerge != 0) {
      found.emergences.resize(1);
      found.emergences[0].earliest_s = static_cast<float>(earliest);
      found.emergences[0].point.x = x;
      found.emergences[0].point.y = y;
    }
    found.pose.pose.position.x = position_x;
    found.pose.pose.position.y = position_y;
    message.objects.push_back(found);
  }
  std::cout.precision(9);
  std::cout << allowed_speed(message, 0.0, 0.0, 0.0, 3.0) << std::endl;
}
