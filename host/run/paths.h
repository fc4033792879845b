// Where things are: the guest's files, the state of machines, caches, temporary folders.
#pragma once

#include <string>

#include "base/result.h"

namespace run {

// The folder with ntoskrnl.exe, hostfs.sys, boot.elf: $BUGCHECK_GUEST_DIR, else beside the program (../guest
// in the build tree, ../share/bugcheck/guest when installed).
base::Result<std::string> GuestFolder();

std::string CacheFolder();  // $XDG_CACHE_HOME/bugcheck
std::string StateFolder();  // $XDG_STATE_HOME/bugcheck
// State of one machine: C/, log, configuration.
std::string MachineFolder(const std::string& name);
// The supervisor's socket: $XDG_RUNTIME_DIR/bugcheck/NAME.sock, else in the machine's folder.
std::string MachineSocket(const std::string& name);

// Makes the folder and its parents.
base::Result<void> MakeFolder(const std::string& path);
// Makes what Windows has on C: and a service needs: Windows, Windows/System32/{drivers,config}. Existing
// folders are taken whatever their case.
base::Result<void> PrepareDriveC(const std::string& folder);

// A host path for a Windows path on C: ("C:\Windows\MEMORY.DMP", "\SystemRoot\..."): components are matched
// without regard to case; missing ones keep the spelling given. "" when the path is not on C: or leaves it.
std::string HostPath(const std::string& drive_c, const std::string& windows_path);

// A folder in $TMPDIR that is removed with all its contents.
class TemporaryFolder {
 public:
  static base::Result<TemporaryFolder> Create();
  TemporaryFolder() = default;
  TemporaryFolder(TemporaryFolder&& other) noexcept : path_(std::move(other.path_)) { other.path_.clear(); }
  TemporaryFolder& operator=(TemporaryFolder&& other) noexcept;
  ~TemporaryFolder() { Remove(); }
  const std::string& path() const { return path_; }

 private:
  void Remove();
  std::string path_;
};

}  // namespace run
