#include "debug/module.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include <curl/curl.h>

#include "base/mapped_file.h"
#include "formats/isf/isf.h"
#include "formats/pdb/pdb_file.h"

namespace debug {

namespace fs = std::filesystem;

namespace {

std::vector<std::string> Split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (true) {
    const size_t end = text.find(separator);
    parts.emplace_back(text.substr(0, end));
    if (end == text.npos) return parts;
    text.remove_prefix(end + 1);
  }
}

bool IsUrl(std::string_view text) {
  return text.starts_with("http://") || text.starts_with("https://");
}

// A name from a dump must not lead out of the folder.
bool IsSafeName(std::string_view name) {
  return !name.empty() && name != "." && name != ".." && name.find_first_of("/\\") == name.npos &&
         name.find('\0') == name.npos;
}

bool IsFile(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

// The file `name` in `folder`, ignoring case when the exact spelling is not there.
std::optional<fs::path> FileIn(const fs::path& folder, std::string_view name) {
  const fs::path exact = folder / name;
  if (IsFile(exact)) return exact;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    const std::string found = it->path().filename().string();
    if (found.size() == name.size() && ::strncasecmp(found.data(), name.data(), name.size()) == 0 &&
        IsFile(it->path())) {
      return it->path();
    }
  }
  return std::nullopt;
}

std::string Describe(const formats::DebugId& id) {
  return id.guid.ToString() + ", age " + std::to_string(id.age);
}

base::Result<SymbolPath::Found> OpenChecked(const fs::path& path, const formats::DebugId& id, bool is_isf) {
  auto source = TRY(is_isf ? isf::Open(path.string()) : pdb::Open(path.string()));
  if (source->id() != id) {
    return base::Fail("MISMATCH: " + path.string() + " has GUID " + Describe(source->id()) +
                      "; the image wants " + Describe(id));
  }
  return SymbolPath::Found{path.string(), is_isf, std::move(source)};
}

size_t WriteToFile(char* data, size_t size, size_t count, void* file) {
  return std::fwrite(data, size, count, static_cast<FILE*>(file)) * size;
}

base::Result<void> Fetch(const std::string& url, const std::string& path) {
  FILE* file = std::fopen(path.c_str(), "wbe");
  if (file == nullptr) return base::FailErrno(path, errno);
  CURL* curl = curl_easy_init();
  CURLcode code = CURLE_FAILED_INIT;
  long status = 0;
  if (curl != nullptr) {
    curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, WriteToFile);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, file);
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, 10L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, 30L);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "Microsoft-Symbol-Server/10.0.0.0");
    code = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_cleanup(curl);
  }
  const bool written = std::fclose(file) == 0;
  if (code == CURLE_OK && written) return {};
  std::remove(path.c_str());
  return base::Fail(url + ": " + (status == 404 ? "not there" : curl_easy_strerror(code)));
}

}  // namespace

base::Result<SymbolPath> SymbolPath::Parse(std::string_view text) {
  SymbolPath path;
  for (const std::string& part : Split(text, ';')) {
    if (part.empty()) continue;
    const std::vector<std::string> fields = Split(part, '*');
    std::string kind = fields[0];
    std::ranges::transform(kind, kind.begin(), [](unsigned char c) { return std::tolower(c); });
    if (fields.size() == 1) {
      if (IsUrl(part))
        path.elements_.push_back({Element::Kind::kServer, "", part});
      else
        path.AddFolder(part);
      continue;
    }
    if (kind == "cache" && fields.size() == 2) {
      path.AddFolder(fields[1]);
      continue;
    }
    if (kind != "srv" && kind != "symsrv")
      return base::Fail("symbol path: '" + part + "' is neither a folder nor srv*...");
    Element element;
    std::vector<std::string> further_stores;
    for (size_t i = 1; i < fields.size(); ++i) {
      if (IsUrl(fields[i])) {
        element.kind = Element::Kind::kServer;
        element.url = fields[i];
      } else if (fields[i].empty() || fields[i] == "symsrv.dll") {
        continue;
      } else if (element.folder.empty()) {
        element.folder = fields[i];
      } else {
        further_stores.push_back(fields[i]);  // srv*CACHE*STORE: the store is read where it is
      }
    }
    if (element.url.empty() && element.folder.empty())
      return base::Fail("symbol path: '" + part + "' names no store");
    path.elements_.push_back(element);
    for (std::string& store : further_stores) path.AddFolder(std::move(store));
  }
  return path;
}

void SymbolPath::AddFolder(std::string folder) {
  if (!folder.empty()) elements_.push_back({Element::Kind::kFolder, std::move(folder), ""});
}

void SymbolPath::Append(const SymbolPath& other) {
  elements_.insert(elements_.end(), other.elements_.begin(), other.elements_.end());
}

base::Result<SymbolPath::Found> SymbolPath::FindInFolder(const std::string& folder, std::string_view name,
                                                         const formats::DebugId& id,
                                                         std::string& refused) const {
  const fs::path root(folder);
  const fs::path store = root / name;
  const std::string isf_name = id.guid.ToString() + "-" + std::to_string(id.age) + ".json";
  struct Candidate {
    std::optional<fs::path> path;
    bool is_isf;
  };
  const Candidate candidates[] = {
      {FileIn(root, name), false},
      {FileIn(store / id.StoreKey(), name), false},
      {FileIn(store, isf_name + ".xz"), true},
      {FileIn(store, isf_name), true},
      {FileIn(root / "windows" / name, isf_name + ".xz"), true},
  };
  for (const Candidate& candidate : candidates) {
    if (!candidate.path) continue;
    auto found = OpenChecked(*candidate.path, id, candidate.is_isf);
    if (found) {
      found->refused = refused;
      return found;
    }
    refused += (refused.empty() ? "" : "; ") + found.error().message;
  }
  return base::Fail("not in " + folder);
}

base::Result<std::string> SymbolPath::Download(const Element& server, std::string_view name,
                                               const formats::DebugId& id) const {
  std::string cache = server.folder;
  if (cache.empty()) {
    const char* home = std::getenv("XDG_CACHE_HOME");
    const char* user = std::getenv("HOME");
    cache = home != nullptr && *home != 0 ? std::string(home)
                                          : std::string(user != nullptr ? user : "/tmp") + "/.cache";
    cache += "/bugcheck/symbols";
  }
  const fs::path folder = fs::path(cache) / name / id.StoreKey();
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) return base::Fail(folder.string() + ": " + error.message());
  std::string url = server.url;
  if (!url.ends_with('/')) url += '/';
  url += std::string(name) + "/" + id.StoreKey() + "/" + std::string(name);
  const std::string path = (folder / name).string();
  const std::string partial = path + ".part";
  if (auto fetched = Fetch(url, partial); !fetched) {
    fs::remove(folder, error);
    return tl::make_unexpected(fetched.error());
  }
  if (std::rename(partial.c_str(), path.c_str()) != 0) return base::FailErrno(path, errno);
  return path;
}

base::Result<SymbolPath::Found> SymbolPath::Find(std::string_view name, const formats::DebugId& id) const {
  if (!IsSafeName(name)) return base::Fail("'" + std::string(name) + "' is not a file name");
  std::string refused;
  std::string tried;
  for (const Element& element : elements_) {
    if (!element.folder.empty()) {
      if (auto found = FindInFolder(element.folder, name, id, refused)) {
        found->refused = refused;
        return found;
      }
      tried += (tried.empty() ? "" : ", ") + element.folder;
    }
    if (element.kind != Element::Kind::kServer) continue;
    auto path = Download(element, name, id);
    if (!path) {
      tried += (tried.empty() ? "" : ", ") + path.error().message;
      continue;
    }
    auto found = OpenChecked(*path, id, false);
    if (found) {
      found->refused = refused;
      return found;
    }
    refused += (refused.empty() ? "" : "; ") + found.error().message;
  }
  if (!refused.empty()) return base::Fail(refused);
  return base::Fail("no " + std::string(name) + " with GUID " + Describe(id) +
                    (tried.empty() ? " (the symbol path is empty)" : " in: " + tried));
}

}  // namespace debug
