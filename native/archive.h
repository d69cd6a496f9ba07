// The memory of a model's weights, block by block in the order of loading: made and filled, or
// mapped from a file that an earlier load wrote, which processes then share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace crossrank {

class Archive {
public:
    Archive() = default;
    Archive(Archive&&) = default;
    Archive& operator=(Archive&&) = default;

    // Maps a file. Throws std::runtime_error if it is none of ours, or not whole.
    explicit Archive(const std::string& path);

    bool mapped() const { return bool(file_); }

    // The next block, on a cache line boundary: as it was written, or zeroed and filled.
    const std::byte* block(std::size_t bytes, const std::function<void(std::byte*)>& fill);

    // The next number: as it was written, or the one given.
    std::uint64_t number(std::uint64_t value);

    // Throws std::runtime_error if a mapped file holds more than was asked for.
    void finish() const;

    // Whole or not at all. False if the disk refuses.
    bool save(const std::string& path) const;

    std::size_t bytes() const { return bytes_; }

private:
    class File;
    struct Free {
        void operator()(std::byte* p) const;
    };
    struct Piece {
        std::unique_ptr<std::byte, Free> data;
        std::size_t bytes;
    };

    std::shared_ptr<const File> file_;
    std::vector<Piece> pieces_;
    std::size_t bytes_ = 0;  // of all blocks so far, each rounded up to a cache line
};

}  // namespace crossrank
