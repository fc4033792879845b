#include "run/driver_check.h"

#include <fmt/format.h>

#include "base/mapped_file.h"
#include "formats/pe/image.h"

namespace run {
namespace {

constexpr auto kNotMz = static_cast<int32_t>(0xC000012F);
constexpr auto kInvalidFormat = static_cast<int32_t>(0xC000007B);
constexpr auto kChecksumMismatch = static_cast<int32_t>(0xC0000221);
constexpr uint16_t kExecutableImage = 0x2;
constexpr uint8_t kDir64 = 10;

DriverFile Refuse(DriverProblem& problem, int32_t status, std::string message) {
  problem = {std::move(message), status};
  return DriverFile::kRefused;
}

const char* MachineText(uint16_t machine) {
  switch (machine) {
    case pe::kMachineI386:
      return "32-bit x86";
    case pe::kMachineArm64:
      return "ARM64";
    case 0x1C0:
    case 0x1C4:
      return "32-bit ARM";
    case 0x200:
      return "Itanium";
    default:
      return "an unknown processor";
  }
}

DriverFile CheckImage(const pe::Image& image, DriverProblem& problem) {
  const pe::Headers& headers = image.headers();
  if ((headers.characteristics & kExecutableImage) == 0) {
    return Refuse(problem, kInvalidFormat, "it is an object file, not a linked image");
  }
  if (headers.subsystem != pe::kSubsystemNative) {
    return Refuse(problem, kInvalidFormat,
                  fmt::format("not a kernel driver: its subsystem is {}, not native", headers.subsystem));
  }
  if (headers.entry_rva == 0 || headers.entry_rva >= headers.size_of_image) {
    return Refuse(problem, kInvalidFormat, "it has no entry point");
  }
  if (headers.directory(pe::Directory::kTls).rva != 0) {
    return Refuse(problem, kInvalidFormat,
                  "it has thread-local storage (a TLS directory), which no kernel image may have");
  }
  auto imports = image.Imports();
  if (!imports) return Refuse(problem, kInvalidFormat, "bad imports: " + imports.error().message);
  auto relocations = image.Relocations();
  if (!relocations) return Refuse(problem, kInvalidFormat, "bad relocations: " + relocations.error().message);
  for (const pe::Relocation& relocation : *relocations) {
    if (relocation.type != kDir64) {
      return Refuse(problem, kInvalidFormat,
                    fmt::format("bad relocations: type {} at {:#x} is not one of x64", relocation.type,
                                relocation.rva));
    }
    if (relocation.rva > headers.size_of_image - 8) {
      return Refuse(problem, kInvalidFormat,
                    fmt::format("bad relocations: {:#x} lies outside the image", relocation.rva));
    }
  }
  const bool stripped = (headers.characteristics & 0x1) != 0;
  if (stripped)
    return Refuse(problem, kInvalidFormat, "bad relocations: they have been stripped, so it cannot be moved");
  if (headers.checksum != 0 && headers.checksum != image.ComputeChecksum()) {
    return Refuse(problem, kChecksumMismatch,
                  fmt::format("its checksum is wrong: the header says {:#x}, the file has {:#x}",
                              headers.checksum, image.ComputeChecksum()));
  }
  return DriverFile::kGood;
}

}  // namespace

DriverFile CheckDriver(const std::string& path, DriverProblem& problem) {
  auto file = base::MappedFile::Open(path);
  if (!file) {
    problem.message = file.error().message;
    return DriverFile::kUnreadable;
  }
  const base::SpanReader bytes(file->bytes());
  if (bytes.Get<uint16_t>(0) != 0x5A4D)
    return Refuse(problem, kNotMz, "not a Windows driver: it does not begin with MZ");
  // The machine first: whatever else differs in an image for another processor follows from that.
  const auto nt = bytes.Get<uint32_t>(0x3C);
  if (nt && bytes.Get<uint32_t>(*nt) == 0x4550u) {
    const auto machine = bytes.Get<uint16_t>(uint64_t{*nt} + 4);
    if (machine && *machine != pe::kMachineAmd64) {
      return Refuse(problem, kInvalidFormat, fmt::format("it is for {}, not for x64", MachineText(*machine)));
    }
  }
  auto image = pe::Image::Parse(file->bytes(), pe::Layout::kFile);
  if (!image) return Refuse(problem, kInvalidFormat, "not a whole PE image: " + image.error().message);
  return CheckImage(*image, problem);
}

}  // namespace run
