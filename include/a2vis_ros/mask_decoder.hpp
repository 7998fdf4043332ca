// Decodes a2vis_ros/msg/Mask. Header-only; needs nothing but the messages and the standard library.

#ifndef A2VIS_ROS__MASK_DECODER_HPP_
#define A2VIS_ROS__MASK_DECODER_HPP_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "a2vis_ros/msg/mask.hpp"

namespace a2vis_ros
{

/// Pixels that an image may have, and so a mask's box; 8192 x 8192. A few damaged bytes can name one that no memory holds.
constexpr std::uint64_t max_pixels = std::uint64_t{1} << 26;

/// Instances that a TrackedInstanceArray may have: leave out a message with more, it was damaged.
constexpr std::size_t max_instances = 4096;

/// Throws std::invalid_argument unless the runs fill the mask's box exactly and make up its area, and the box has no more
/// than max_pixels.
inline void check_mask(const msg::Mask & mask)
{
  const auto pixels = static_cast<std::uint64_t>(mask.roi.width) * mask.roi.height;
  std::uint64_t total = 0;
  std::uint64_t area = 0;
  for (std::size_t i = 0; i < mask.counts.size(); ++i) {
    total += mask.counts[i];
    area += i % 2 ? mask.counts[i] : 0;
  }
  if (total != pixels) {
    throw std::invalid_argument(
            "the mask's runs cover " + std::to_string(total) + " pixels, its box of " +
            std::to_string(mask.roi.width) + "x" + std::to_string(mask.roi.height) + " has " + std::to_string(pixels));
  }
  if (pixels > max_pixels) {
    throw std::invalid_argument(
            "the mask's box of " + std::to_string(mask.roi.width) + "x" + std::to_string(mask.roi.height) +
            " has more than " + std::to_string(max_pixels) + " pixels");
  }
  if (area != mask.area) {
    throw std::invalid_argument(
            "the mask's runs hold " + std::to_string(area) + " pixels, its area says " + std::to_string(mask.area));
  }
}

/// Throws std::invalid_argument unless the mask is one of an image of this size, which has no more than max_pixels.
///
/// image_height and image_width are those of the TrackedInstanceArray.
inline void check_mask(const msg::Mask & mask, std::uint32_t image_height, std::uint32_t image_width)
{
  if (static_cast<std::uint64_t>(image_height) * image_width > max_pixels) {
    throw std::invalid_argument(
            "an image of " + std::to_string(image_width) + "x" + std::to_string(image_height) +
            " has more than " + std::to_string(max_pixels) + " pixels");
  }
  const auto right = static_cast<std::uint64_t>(mask.roi.x_offset) + mask.roi.width;
  const auto bottom = static_cast<std::uint64_t>(mask.roi.y_offset) + mask.roi.height;
  if (right > image_width || bottom > image_height) {
    throw std::invalid_argument(
            "the mask's box ends at (" + std::to_string(right) + ", " + std::to_string(bottom) + "), outside the " +
            std::to_string(image_width) + "x" + std::to_string(image_height) + " image");
  }
  check_mask(mask);
}

/// The pixels of the mask's box, roi.height rows of roi.width, row by row: 1 inside the mask, 0 outside.
inline std::vector<std::uint8_t> decode_box(const msg::Mask & mask)
{
  check_mask(mask);
  std::vector<std::uint8_t> pixels(static_cast<std::size_t>(mask.roi.width) * mask.roi.height, 0);
  std::size_t position = 0;
  for (std::size_t i = 0; i < mask.counts.size(); ++i) {
    if (i % 2) {
      std::fill_n(pixels.begin() + static_cast<std::ptrdiff_t>(position), mask.counts[i], std::uint8_t{1});
    }
    position += mask.counts[i];
  }
  return pixels;
}

/// The mask at the size of the image, image_height rows of image_width, row by row: 1 inside, 0 outside.
///
/// image_height and image_width are those of the TrackedInstanceArray; throws std::invalid_argument as check_mask does.
inline std::vector<std::uint8_t> decode_image(
  const msg::Mask & mask, std::uint32_t image_height, std::uint32_t image_width)
{
  check_mask(mask, image_height, image_width);
  const auto box = decode_box(mask);
  std::vector<std::uint8_t> image(static_cast<std::size_t>(image_height) * image_width, 0);
  for (std::uint32_t row = 0; row < mask.roi.height; ++row) {
    const auto from = box.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(row) * mask.roi.width);
    const auto to = static_cast<std::size_t>(mask.roi.y_offset + row) * image_width + mask.roi.x_offset;
    std::copy_n(from, mask.roi.width, image.begin() + static_cast<std::ptrdiff_t>(to));
  }
  return image;
}

/// Calls visit(x, y) in image pixels for every pixel inside the mask, without building an image: x is below image_width
/// and y below image_height.
///
/// image_height and image_width are those of the TrackedInstanceArray; throws std::invalid_argument as check_mask does,
/// before the first visit.
template<typename Visitor>
void for_each_pixel(
  const msg::Mask & mask, std::uint32_t image_height, std::uint32_t image_width, Visitor visit)
{
  check_mask(mask, image_height, image_width);
  std::uint64_t position = 0;
  for (std::size_t i = 0; i < mask.counts.size(); ++i) {
    const std::uint64_t end = position + mask.counts[i];
    for (; i % 2 && position < end; ++position) {
      visit(
        static_cast<std::uint32_t>(mask.roi.x_offset + position % mask.roi.width),
        static_cast<std::uint32_t>(mask.roi.y_offset + position / mask.roi.width));
    }
    position = end;
  }
}

}  // namespace a2vis_ros

#endif  // A2VIS_ROS__MASK_DECODER_HPP_
