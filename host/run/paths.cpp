#include "run/paths.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <system_error>

#include <strings.h>
#include <unistd.h>

#include <fmt/format.h>

namespace run {
namespace {

namespace fs = std::filesystem;

// $variable, or $HOME/fallback, or a folder of this user's in /tmp.
std::string UserFolder(const char* variable, const char* fallback) {
  const char* value = std::getenv(variable);
  if (value != nullptr && value[0] == '/') return value;  // the XDG rules ignore relative paths
  const char* home = std::getenv("HOME");
  if (home != nullptr && home[0] == '/') return std::string(home) + "/" + fallback;
  return fmt::format("/tmp/bugcheck-{}/{}", getuid(), fallback);
}

std::string ProgramFolder() {
  std::error_code error;
  return fs::read_symlink("/proc/self/exe", error).parent_path().string();
}

// `name` in `folder` as it is really spelled; `name` itself when there is no such entry.
std::string Spelling(const std::string& folder, const std::string& name) {
  if (access((folder + "/" + name).c_str(), F_OK) == 0) return name;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string candidate = entry.path().filename().string();
    if (strcasecmp(candidate.c_str(), name.c_str()) == 0) return candidate;
  }
  return name;
}

}  // namespace

base::Result<std::string> GuestFolder() {
  if (const char* folder = std::getenv("BUGCHECK_GUEST_DIR"); folder != nullptr && *folder != '\0')
    return folder;
  const std::string program = ProgramFolder();
  for (const char* relative : {"/../guest", "/../share/bugcheck/guest"}) {
    const std::string folder = program + relative;
    if (access((folder + "/boot.elf").c_str(), R_OK) == 0)
      return fs::path(folder).lexically_normal().string();
  }
  return base::Fail(fmt::format(
      "cannot find the guest's files: neither {0}/../guest nor {0}/../share/bugcheck/guest has boot.elf",
      program));
}

std::string CacheFolder() {
  return UserFolder("XDG_CACHE_HOME", ".cache") + "/bugcheck";
}
std::string StateFolder() {
  return UserFolder("XDG_STATE_HOME", ".local/state") + "/bugcheck";
}
std::string MachineFolder(const std::string& name) {
  return StateFolder() + "/machines/" + name;
}

std::string MachineSocket(const std::string& name) {
  const char* runtime = std::getenv("XDG_RUNTIME_DIR");
  if (runtime != nullptr && runtime[0] == '/' && access(runtime, W_OK) == 0) {
    return fmt::format("{}/bugcheck/{}.sock", runtime, name);
  }
  return MachineFolder(name) + "/socket";
}

base::Result<void> MakeFolder(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) return base::Fail(fmt::format("cannot make the folder {}: {}", path, error.message()));
  return {};
}

base::Result<void> PrepareDriveC(const std::string& folder) {
  TRY(MakeFolder(folder));
  if (access(folder.c_str(), R_OK | W_OK | X_OK) != 0)
    return base::FailErrno("cannot use " + folder + " as drive C:", errno);
  std::string path = folder;
  for (const char* name : {"Windows", "System32"}) {
    path += "/" + Spelling(path, name);
    TRY(MakeFolder(path));
  }
  TRY(MakeFolder(path + "/" + Spelling(path, "drivers")));
  return MakeFolder(path + "/" + Spelling(path, "config"));
}

std::string HostPath(const std::string& drive_c, const std::string& windows_path) {
  std::string rest = windows_path;
  const auto starts = [&](const char* prefix) {
    return strncasecmp(rest.c_str(), prefix, strlen(prefix)) == 0;
  };
  for (const char* prefix : {"\\??\\", "\\DosDevices\\", "\\\\?\\"}) {
    if (starts(prefix)) rest.erase(0, strlen(prefix));
  }
  if (starts("\\SystemRoot\\")) {
    rest = "\\Windows\\" + rest.substr(strlen("\\SystemRoot\\"));
  } else if (starts("System32\\")) {
    rest = "\\Windows\\" + rest;
  } else if (starts("C:\\") || starts("C:/")) {
    rest.erase(0, 2);
  } else if (rest.empty() || (rest[0] != '\\' && rest[0] != '/')) {
    return "";
  }
  std::string path = drive_c;
  std::string component;
  for (size_t i = 0; i <= rest.size(); i++) {
    if (i < rest.size() && rest[i] != '\\' && rest[i] != '/') {
      component += rest[i];
      continue;
    }
    if (component == "..") return "";
    if (!component.empty() && component != ".") path += "/" + Spelling(path, component);
    component.clear();
  }
  return path;
}

base::Result<TemporaryFolder> TemporaryFolder::Create() {
  const char* parent = std::getenv("TMPDIR");
  std::string name =
      fmt::format("{}/bugcheck-XXXXXX", parent != nullptr && *parent != '\0' ? parent : "/tmp");
  if (mkdtemp(name.data()) == nullptr)
    return base::FailErrno("cannot make a temporary folder " + name, errno);
  TemporaryFolder folder;
  folder.path_ = name;
  return folder;
}

TemporaryFolder& TemporaryFolder::operator=(TemporaryFolder&& other) noexcept {
  if (this != &other) {
    Remove();
    path_ = std::move(other.path_);
    other.path_.clear();
  }
  return *this;
}

void TemporaryFolder::Remove() {
  if (path_.empty()) return;
  std::error_code error;  // what cannot be removed stays in the system's temporary folder
  fs::remove_all(path_, error);
  path_.clear();
}

}  // namespace run
