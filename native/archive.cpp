#include "archive.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <new>
#include <stdexcept>

#ifndef _WIN32
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

namespace crossrank {
namespace {

constexpr std::size_t line = 64;

std::size_t whole_lines(std::size_t bytes) { return (bytes + line - 1) / line * line; }

// What a file begins with; the blocks follow.
struct alignas(64) Header {
    char magic[16] = "crossrank packs";
    std::uint64_t bytes;
    char unused[40] = {};
};
static_assert(sizeof(Header) == line);

}  // namespace

#ifdef _WIN32

void Archive::Free::operator()(std::byte* p) const { _aligned_free(p); }

static void* aligned(std::size_t bytes) { return _aligned_malloc(bytes, line); }

class Archive::File {};

Archive::Archive(const std::string&) { throw std::runtime_error("files are not mapped here"); }

const std::byte* Archive::block(std::size_t bytes, const std::function<void(std::byte*)>& fill) {
#else

void Archive::Free::operator()(std::byte* p) const { std::free(p); }

static void* aligned(std::size_t bytes) { return std::aligned_alloc(line, bytes); }

class Archive::File {
public:
    explicit File(const std::string& path) {
        const int handle = open(path.c_str(), O_RDONLY | O_CLOEXEC);
        struct stat facts {};
        if (handle >= 0 && fstat(handle, &facts) == 0 && facts.st_size >= off_t(sizeof(Header))) {
            bytes_ = std::size_t(facts.st_size);
            start_ = mmap(nullptr, bytes_, PROT_READ, MAP_SHARED, handle, 0);
        }
        if (handle >= 0) close(handle);
        if (start_ == MAP_FAILED) throw std::runtime_error(path + " cannot be mapped");
    }
    File(const File&) = delete;
    File& operator=(const File&) = delete;
    ~File() { munmap(start_, bytes_); }

    const std::byte* data() const { return static_cast<const std::byte*>(start_); }
    std::size_t bytes() const { return bytes_; }

private:
    void* start_ = MAP_FAILED;
    std::size_t bytes_ = 0;
};

Archive::Archive(const std::string& path) : file_(std::make_shared<const File>(path)) {
    Header wanted{}, found;
    std::memcpy(&found, file_->data(), sizeof found);
    if (std::memcmp(found.magic, wanted.magic, sizeof wanted.magic) != 0 ||
        found.bytes + sizeof(Header) != file_->bytes())
        throw std::runtime_error(path + " holds no packed weights, or not all of them");
}

const std::byte* Archive::block(std::size_t bytes, const std::function<void(std::byte*)>& fill) {
    if (file_) {
        const std::size_t room = file_->bytes() - sizeof(Header) - bytes_;
        if (bytes > room || whole_lines(bytes) > room)
            throw std::runtime_error("the packed weights end too early");
        const std::byte* found = file_->data() + sizeof(Header) + bytes_;
        bytes_ += whole_lines(bytes);
        return found;
    }
#endif
    const std::size_t rounded = whole_lines(bytes);
    // aligned_alloc does not zero, and calloc does not align: zeroing what is filled anyway is cheap.
    auto* made = static_cast<std::byte*>(aligned(rounded ? rounded : line));
    if (!made) throw std::bad_alloc();
    pieces_.push_back({std::unique_ptr<std::byte, Free>(made), rounded});
    std::memset(made, 0, rounded);
    fill(made);
    bytes_ += rounded;
    return made;
}

std::uint64_t Archive::number(std::uint64_t value) {
    const std::byte* kept =
        block(sizeof value, [&](std::byte* to) { std::memcpy(to, &value, sizeof value); });
    std::memcpy(&value, kept, sizeof value);
    return value;
}

void Archive::finish() const {
#ifndef _WIN32
    if (file_ && bytes_ + sizeof(Header) != file_->bytes())
        throw std::runtime_error("the packed weights are of another model");
#endif
}

bool Archive::save(const std::string& path) const {
    if (mapped()) return false;
    // Whoever takes the same name at the same nanosecond finds it taken, and keeps nothing.
    const auto now = std::chrono::steady_clock::now().time_since_epoch().count();
    const std::string part = path + "." + std::to_string(now) + ".part";
    std::FILE* file = std::fopen(part.c_str(), "wbx");
    if (!file) return false;
    Header header{};
    header.bytes = bytes_;
    bool good = std::fwrite(&header, sizeof header, 1, file) == 1;
    for (const Piece& piece : pieces_)
        good = good && std::fwrite(piece.data.get(), 1, piece.bytes, file) == piece.bytes;
    good = std::fclose(file) == 0 && good;
    std::error_code failed;
    if (good) std::filesystem::rename(part, path, failed);
    if (!good || failed) std::filesystem::remove(part, failed);
    return good && !failed;
}

}  // namespace crossrank
