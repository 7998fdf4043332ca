// A planner that slows down for whom it cannot see: how fast a robot may drive straight on, from ~/objects.
// The same as slow_for_hidden.py.

#pragma once

#include <algorithm>
#include <cmath>

#include "a2vis_ros/msg/tracked_instance.hpp"
#include "a2vis_ros/msg/tracked_object_array.hpp"

constexpr double brake = 1.0;       // how hard the robot brakes, in m/s^2,
constexpr double reaction_s = 0.3;  // and how long after it sees somebody
constexpr double half_width = 0.6;  // of the robot's way, in metres
constexpr double margin = 1.0;      // to stop before a person, in metres
constexpr double walk = 2.0;        // how fast a person comes onto the way, in m/s

/// The greatest speed in m/s at which the robot can still stop for every hidden person who may come out.
///
/// Objects are in the frame of the robot's pose x, y, yaw; cruise is its speed where nobody is hidden, more than 0.
inline double allowed_speed(
  const a2vis_ros::msg::TrackedObjectArray & message, double x, double y, double yaw, double cruise)
{
  using a2vis_ros::msg::TrackedInstance;
  double speed = cruise;
  for (const auto & found : message.objects) {
    const bool hidden = found.state == TrackedInstance::OCCLUDED || found.state == TrackedInstance::LOST;
    if (!hidden || found.class_name != "person" || !(found.existence > 0.1)) {
      continue;
    }
    auto ways = found.emergences;
    if (ways.empty()) {
      // No end of what hides the person is in view: it counts as not hidden at all.
      ways.resize(1);
      ways[0].point = found.pose.pose.position;
    }
    for (const auto & way : ways) {
      const double ahead = std::cos(yaw) * (way.point.x - x) + std::sin(yaw) * (way.point.y - y);
      const double aside = std::abs(std::cos(yaw) * (way.point.y - y) - std::sin(yaw) * (way.point.x - x));
      const double on_the_way_s = way.earliest_s + std::max(aside - half_width, 0.0) / walk;
      if (ahead < 0 || on_the_way_s > (ahead + margin) / cruise) {
        continue;  // Behind the robot, or the robot is past by then.
      }
      const double room = std::max(ahead - margin, 0.0);
      speed = std::min(speed, std::sqrt(std::pow(brake * reaction_s, 2) + 2 * brake * room) - brake * reaction_s);
    }
  }
  return speed;
}
