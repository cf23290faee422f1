// Errors that reach Python as a class of emberline.kernels.errors.
#pragma once

#include <stdexcept>
#include <string>

namespace emberline {

// `python_class` names the class; the binding's translator raises it.
struct Error : std::runtime_error {
  Error(const char* python_class, const std::string& message)
      : std::runtime_error(message), python_class(python_class) {}
  const char* python_class;
};

struct TableFull : Error {
  explicit TableFull(const std::string& message) : Error("TableFullError", message) {}
};

struct RowIndexError : Error {
  explicit RowIndexError(const std::string& message) : Error("RowIndexError", message) {}
};

struct VersionError : Error {
  explicit VersionError(const std::string& message) : Error("VersionError", message) {}
};

struct SegmentError : Error {
  explicit SegmentError(const std::string& message) : Error("ArrayShapeError", message) {}
};

}  // namespace emberline
