// The C++ decoder against drawn masks, which the Python tests read too.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "a2vis_ros/mask_decoder.hpp"

using a2vis_ros::msg::Mask;

struct Example
{
  std::string name;
  Mask mask;
  std::vector<std::string> rows;  // '#' inside, '.' outside
};

std::vector<Example> examples()
{
  std::ifstream file(MASKS_FILE);
  std::vector<Example> found;
  std::string line;
  while (std::getline(file, line)) {
    std::istringstream words(line);
    std::string key;
    words >> key;
    if (key == "mask") {
      found.emplace_back();
      words >> found.back().name;
    } else if (key == "box") {
      auto & roi = found.back().mask.roi;
      words >> roi.x_offset >> roi.y_offset >> roi.width >> roi.height;
    } else if (key == "counts") {
      auto & mask = found.back().mask;
      for (std::uint32_t run; words >> run; ) {
        mask.area += mask.counts.size() % 2 ? run : 0;
        mask.counts.push_back(run);
      }
    } else if (key == "row") {
      words >> key;
      found.back().rows.push_back(key);
    }
  }
  return found;
}

TEST(MaskDecoder, EveryExampleDecodesToItsDrawing)
{
  const auto all = examples();
  ASSERT_GE(all.size(), 6u);
  for (const auto & example : all) {
    const auto height = static_cast<std::uint32_t>(example.rows.size());
    const auto width = static_cast<std::uint32_t>(example.rows.front().size());
    const auto image = a2vis_ros::decode_image(example.mask, height, width);
    std::vector<std::uint8_t> visited(image.size(), 0);
    a2vis_ros::for_each_pixel(
      example.mask, height, width, [&](std::uint32_t x, std::uint32_t y) {visited.at(y * width + x) += 1;});
    for (std::uint32_t y = 0; y < height; ++y) {
      for (std::uint32_t x = 0; x < width; ++x) {
        EXPECT_EQ(image[y * width + x], example.rows[y][x] == '#') << example.name << " at " << x << ", " << y;
      }
    }
    EXPECT_EQ(visited, image) << example.name;
  }
}

Mask two_by_two()
{
  Mask mask;
  mask.roi.x_offset = 3;
  mask.roi.width = 2;
  mask.roi.height = 2;
  mask.area = 4;
  mask.counts = {0, 4};
  return mask;
}

TEST(MaskDecoder, RunsThatDoNotFillTheBoxAreRefused)
{
  auto mask = two_by_two();
  mask.counts = {0, 5};
  EXPECT_THROW(a2vis_ros::decode_box(mask), std::invalid_argument);
  mask.counts = {0, 3};
  EXPECT_THROW(a2vis_ros::decode_box(mask), std::invalid_argument);
  // 2^32 + 4 in all: a sum in 32 bits would come out right.
  mask.counts = {4294967295u, 4, 1};
  EXPECT_THROW(a2vis_ros::decode_box(mask), std::invalid_argument);
}

TEST(MaskDecoder, ABoxThatNoMemoryHoldsIsRefused)
{
  // 4,000,000 x 4,000,000 pixels, all outside, and the runs fill the box.
  auto mask = two_by_two();
  mask.roi.width = mask.roi.height = 4000000;
  mask.area = 0;
  mask.counts.clear();
  for (std::uint64_t left = 16000000000000; left > 0; ) {
    const auto run = static_cast<std::uint32_t>(std::min<std::uint64_t>(left, 4294967295u));
    mask.counts.insert(mask.counts.end(), {run, 0});
    left -= run;
  }
  EXPECT_THROW(a2vis_ros::decode_box(mask), std::invalid_argument);
  EXPECT_THROW(
    a2vis_ros::for_each_pixel(mask, 4000000, 4000000, [](std::uint32_t, std::uint32_t) {}),
    std::invalid_argument);
}

TEST(MaskDecoder, AnImageThatNoMemoryHoldsIsRefused)
{
  const auto mask = two_by_two();
  EXPECT_NO_THROW(a2vis_ros::decode_image(mask, 8192, 8192));
  EXPECT_THROW(a2vis_ros::decode_image(mask, 8192, 8193), std::invalid_argument);
  EXPECT_THROW(a2vis_ros::decode_image(mask, 4294967295u, 4294967295u), std::invalid_argument);
}

TEST(MaskDecoder, NoPixelOutsideTheImageIsVisited)
{
  const auto mask = two_by_two();
  std::size_t visits = 0;
  const auto count = [&](std::uint32_t, std::uint32_t) {++visits;};
  a2vis_ros::for_each_pixel(mask, 2, 5, count);
  EXPECT_EQ(visits, 4u);
  EXPECT_THROW(a2vis_ros::for_each_pixel(mask, 2, 4, count), std::invalid_argument);
  EXPECT_THROW(a2vis_ros::for_each_pixel(mask, 1, 5, count), std::invalid_argument);
  EXPECT_EQ(visits, 4u);
}

TEST(MaskDecoder, AWrongAreaIsRefused)
{
  auto mask = two_by_two();
  mask.area = 3;
  EXPECT_THROW(a2vis_ros::decode_box(mask), std::invalid_argument);
}

TEST(MaskDecoder, ABoxOutsideTheImageIsRefused)
{
  EXPECT_NO_THROW(a2vis_ros::decode_image(two_by_two(), 2, 5));
  EXPECT_THROW(a2vis_ros::decode_image(two_by_two(), 2, 4), std::invalid_argument);
  auto mask = two_by_two();
  mask.roi.x_offset = 4294967295u;
  EXPECT_THROW(a2vis_ros::decode_image(mask, 2, 5), std::invalid_argument);
}
