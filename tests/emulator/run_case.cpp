// Runs one case from a file, for the sanitizers: every array in a heap block of its exact size. Afterwards the arrays
// are written back to the same file.
//
// The file: lines "operator NAME", "number NAME VALUE", "array NAME TYPE BYTES OFFSET DIMS SIZES... STRIDES..." (offset
// in bytes, strides in elements), a line "data", then the arrays' bytes one after the other.
#include <cstdio>
#include <fstream>
#include <iostream>
#include <memory>
#include <sstream>

#include "case.h"

using namespace ras::emulated;

int main(int, char** argv) {
  std::fstream file(argv[1], std::ios::in | std::ios::out | std::ios::binary);
  Case c;
  std::string line, name;
  struct Storage {
    std::string array;
    int64_t bytes, offset;
    std::unique_ptr<char, void (*)(void*)> data;
  };
  std::vector<Storage> storages;
  while (std::getline(file, line) && line != "data") {
    std::istringstream words(line);
    std::string kind, key;
    words >> kind >> key;
    if (kind == "operator") {
      name = key;
    } else if (kind == "number") {
      words >> c.numbers[key];
    } else {
      Array& array = c.arrays[key];
      int64_t bytes, offset, dims;
      words >> array.type >> bytes >> offset >> dims;
      array.size.resize(dims);
      array.stride.resize(dims);
      for (int64_t& size : array.size) {
        words >> size;
      }
      for (int64_t& stride : array.stride) {
        words >> stride;
      }
      // malloc aligns to 16 bytes, as the alignment of the offset within a torch storage supposes.
      storages.push_back({key, bytes, offset, {static_cast<char*>(std::malloc(bytes)), std::free}});
      array.data = storages.back().data.get() + offset;
    }
  }
  const std::streampos start = file.tellg();
  for (const Storage& storage : storages) {
    file.read(storage.data.get(), storage.bytes);
  }
  try {
    run_case(name, c);
  } catch (const std::exception& error) {
    std::cerr << "fault: " << error.what() << std::endl;
    return 3;
  }
  file.seekp(start);
  for (const Storage& storage : storages) {
    file.write(storage.data.get(), storage.bytes);
  }
  return 0;
}
