// What a shared library lets out. It is built with everything hidden, so that nothing of its inside can be linked
// against or clash with another library's symbols; EBMCUDA_API marks what stays visible: free functions, and classes
// (whole, so that what is thrown or passed by std::function is the same type on both sides).
#pragma once

// The static library's CMake target defines EBMCUDA_STATIC: whoever links it into a shared library of their own does
// not export ours too.
#if defined(EBMCUDA_STATIC) || !defined(__GNUC__)
#define EBMCUDA_API
#define EBMCUDA_HIDDEN
#else
#define EBMCUDA_API __attribute__((visibility("default")))
// A class within an exported one that is none of its users' business.
#define EBMCUDA_HIDDEN __attribute__((visibility("hidden")))
#endif
