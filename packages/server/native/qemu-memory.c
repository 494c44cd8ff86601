// Loaded into QEMU: gives it a machine's memory as layers of snapshots.
//
// QEMU opens its memory file by name, for reading and writing, even when it is to map it
// privately. Until QEMU 9 it then also punches holes into that file when the guest inflates its
// balloon: a guest could wipe the snapshot that all its siblings are restored from. So QEMU gets
// the file as an open descriptor, for reading only, and its attempt to open MEMORY_PATH is
// answered with a duplicate of that descriptor. A hole in it is taken for made: QEMU then goes on
// to give up its own copies of those pages, which is what the balloon is for.
//
// A snapshot holds the pages that differ from what its machine was restored from, and nothing
// else. When QEMU has mapped the whole image at the bottom, the pages of each layer above are
// mapped over it: restoring takes time by what changed, copies nothing, and what machines of one
// snapshot do not write they share.
//
// The table, in the descriptor LAYER_TABLE, has a record for each run of pages: first page of the
// guest, number of pages, layer, first page in the layer's file; four little-endian u32 each.
// Layer n is the descriptor FIRST_LAYER + n. See descriptors.ts.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "pagemap-scan.h"

enum { MEMORY = 5, LAYER_TABLE = 11, FIRST_LAYER = 12, PAGE = 4096, BATCH = 1024 };
static const char MEMORY_PATH[] = "/proc/self/fd/5";

struct run {
  uint32_t page, pages, layer, at;
};

static int open_file(const char *path, int flags, mode_t mode) {
  if (strcmp(path, MEMORY_PATH) == 0) return fcntl(MEMORY, F_DUPFD_CLOEXEC, FIRST_LAYER);
  return syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

static mode_t mode_of(int flags, va_list arguments) {
  return flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
}

// The C library's functions that open a file by name, in each of their spellings.
int open(const char *path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  mode_t mode = mode_of(flags, arguments);
  va_end(arguments);
  return open_file(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  mode_t mode = mode_of(flags, arguments);
  va_end(arguments);
  return open_file(path, flags, mode);
}

int __open_2(const char *path, int flags) { return open_file(path, flags, 0); }
int __open64_2(const char *path, int flags) { return open_file(path, flags, 0); }

static void die(const char *what) {
  if (write(2, what, strlen(what)) < 0) _exit(71);
  _exit(70);
}

static int is_memory(int fd) {
  struct stat memory, mapped;
  if (fstat(MEMORY, &memory) != 0 || fstat(fd, &mapped) != 0) return 0;
  return memory.st_dev == mapped.st_dev && memory.st_ino == mapped.st_ino;
}

static int is_read_only(int fd) {
  int flags = fcntl(fd, F_GETFL);
  return flags >= 0 && (flags & O_ACCMODE) == O_RDONLY;
}

int fallocate64(int fd, int mode, off_t offset, off_t length) {
  if ((mode & FALLOC_FL_PUNCH_HOLE) && is_read_only(fd) && is_memory(fd)) return 0;
  return syscall(SYS_fallocate, fd, mode, offset, length);
}

int fallocate(int fd, int mode, off_t offset, off_t length) {
  return fallocate64(fd, mode, offset, length);
}

static void map_layers(char *memory, size_t length, int prot) {
  static struct run runs[BATCH];
  off_t offset = 0;
  for (;;) {
    ssize_t bytes = pread(LAYER_TABLE, runs, sizeof runs, offset);
    // No table: the image is all there is.
    if (bytes == 0 || (bytes < 0 && errno == EBADF)) return;
    if (bytes < 0 || bytes % sizeof runs[0] != 0) die("qemu-memory: cannot read the table of layers\n");
    offset += bytes;
    for (size_t i = 0; i < bytes / sizeof runs[0]; i++) {
      uint64_t from = (uint64_t)runs[i].page * PAGE, size = (uint64_t)runs[i].pages * PAGE;
      if (from + size > length) die("qemu-memory: a layer is larger than the memory\n");
      int fd = FIRST_LAYER + runs[i].layer;
      void *mapped = (void *)syscall(SYS_mmap, memory + from, size, prot, MAP_PRIVATE | MAP_FIXED, fd,
                                     (off_t)runs[i].at * PAGE);
      if (mapped == MAP_FAILED) die("qemu-memory: cannot map a layer\n");
    }
  }
}

// For page-copier.c, which borrows it: only a process itself can open one for its memory.
static void open_tracker(void) {
  int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
  struct uffdio_api api = {.api = UFFD_API, .features = UFFD_FEATURE_WP_ASYNC};
  // Before Linux 6.7 there is none of use.
  if (fd >= 0 && ioctl(fd, UFFDIO_API, &api) != 0) close(fd);
}

void *mmap64(void *address, size_t length, int prot, int flags, int fd, off_t offset) {
  void *mapped = (void *)syscall(SYS_mmap, address, length, prot, flags, fd, offset);
  int is_private_file = (flags & MAP_PRIVATE) && !(flags & MAP_ANONYMOUS) && fd >= 0;
  if (mapped != MAP_FAILED && is_private_file && (prot & PROT_WRITE) && is_memory(fd)) {
    map_layers(mapped, length, prot);
    open_tracker();
  }
  return mapped;
}

void *mmap(void *address, size_t length, int prot, int flags, int fd, off_t offset) {
  return mmap64(address, length, prot, flags, fd, offset);
}
