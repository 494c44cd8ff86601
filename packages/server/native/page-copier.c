// Copies the pages that a guest wrote out of its QEMU, most of them while the guest runs.
//
// A machine stands still for as long as its pages are copied. So they are copied beforehand, and
// the kernel is asked to notice which of them are written meanwhile: only those are copied again
// while the guest stands still. QEMU opens a userfaultfd for that when it starts (qemu-memory.c);
// it is borrowed here and registered for as long as a capture takes, since a mapping that is
// registered costs its readers the kernel's reading ahead. The kernel resolves each fault by itself
// (UFFD_FEATURE_WP_ASYNC, Linux 6.7): nobody waits for this program. Where it cannot, everything is
// copied while the guest stands still.
//
// page-copier PID ADDRESS BYTES
//   3: /proc/PID/pagemap   4: /proc/PID/mem   5: file of pages   6: map of the pages
// Each line that it reads is a step, each line that it writes says that the step is done:
//   precopy -> "precopied PAGES" or "not precopied WHY"
//   finish  -> "finished PAGES RUNS"; the guest must stand still, and may go on afterwards
// Then it writes the map (memory-map.ts) and ends. What fails is told as "failed ERRNO WHAT".
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "pagemap-scan.h"

enum { PAGEMAP = 3, MEMORY = 4, PAGES = 5, MAP = 6, PAGE = 4096, REGIONS = 4096, BUFFER = 1 << 20 };

// Where the file has a page of the guest; UNCOPIED for none.
static const uint32_t UNCOPIED = UINT32_MAX;
static uint32_t *slot_of;
static uint32_t slots;

static uint64_t guest, guest_bytes;
static int tracker = -1;

struct run {
  uint32_t page, pages, layer, at;
};
static struct run *runs;
static size_t run_count, run_room;

static void fail(const char *what) {
  printf("failed %s %s\n", strerrorname_np(errno), what);
  fflush(stdout);
  exit(1);
}

static void read_memory(void *target, size_t length, uint64_t address) {
  for (size_t filled = 0; filled < length;) {
    ssize_t bytes = pread(MEMORY, (char *)target + filled, length - filled, (off_t)(address + filled));
    if (bytes < 0 && errno == EINTR) continue;
    if (bytes <= 0) fail("reading the guest's memory");
    filled += (size_t)bytes;
  }
}

static void write_pages(const void *source, size_t length, uint32_t slot) {
  for (size_t written = 0; written < length;) {
    off_t at = (off_t)slot * PAGE + (off_t)written;
    ssize_t bytes = pwrite(PAGES, (const char *)source + written, length - written, at);
    if (bytes < 0 && errno == EINTR) continue;
    if (bytes < 0) fail("writing the pages");
    written += (size_t)bytes;
  }
}

// Copies pages that lie one after the other, both in the guest and in the file.
static void copy_stretch(uint32_t page, uint32_t pages, uint32_t slot) {
  static char buffer[BUFFER];
  while (pages > 0) {
    uint32_t now = pages < BUFFER / PAGE ? pages : BUFFER / PAGE;
    read_memory(buffer, (size_t)now * PAGE, guest + (uint64_t)page * PAGE);
    write_pages(buffer, (size_t)now * PAGE, slot);
    page += now;
    slot += now;
    pages -= now;
  }
}

// Copies a range of pages: those that the file has to their place there, new ones to its end.
static void copy_range(uint32_t first, uint32_t end) {
  uint32_t from = first;
  while (from < end) {
    if (slot_of[from] == UNCOPIED) slot_of[from] = slots++;
    uint32_t to = from + 1;
    while (to < end) {
      uint32_t next = slot_of[from] + (to - from);
      if (slot_of[to] == UNCOPIED && next == slots) slot_of[to] = slots++;
      if (slot_of[to] != next) break;
      to++;
    }
    copy_stretch(from, to - from, slot_of[from]);
    from = to;
  }
}

static void note_range(uint32_t first, uint32_t end) {
  for (uint32_t page = first; page < end; page++) {
    struct run *last = run_count == 0 ? NULL : &runs[run_count - 1];
    if (last != NULL && last->page + last->pages == page && last->at + last->pages == slot_of[page]) {
      last->pages++;
      continue;
    }
    if (run_count == run_room) {
      run_room = run_room == 0 ? 1024 : run_room * 2;
      runs = realloc(runs, run_room * sizeof *runs);
      if (runs == NULL) fail("noting the pages");
    }
    runs[run_count++] = (struct run){page, 1, 0, slot_of[page]};
  }
}

typedef void visit(uint32_t first, uint32_t end, uint64_t categories);

// Visits the pages that are the process's own, and not those of a file any more: what the guest wrote.
// `flags` take effect on a page before it is visited.
static int scan(uint64_t flags, visit *visit) {
  static struct page_region regions[REGIONS];
  uint64_t at = guest, end = guest + guest_bytes;
  while (at < end) {
    struct pm_scan_arg arg = {
        .size = sizeof arg,
        .flags = flags,
        .start = at,
        .end = end,
        .vec = (uint64_t)(uintptr_t)regions,
        .vec_len = REGIONS,
        .category_inverted = PAGE_IS_FILE,
        .category_mask = PAGE_IS_FILE,
        .category_anyof_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
        .return_mask = PAGE_IS_WRITTEN | PAGE_IS_SWAPPED,
    };
    long found = ioctl(PAGEMAP, PAGEMAP_SCAN, &arg);
    if (found < 0 && errno == EINTR) continue;
    if (found < 0) return -1;
    for (long i = 0; i < found; i++) {
      uint32_t first = (uint32_t)((regions[i].start - guest) / PAGE);
      visit(first, (uint32_t)((regions[i].end - guest) / PAGE), regions[i].categories);
    }
    // `walk_end` is not to be relied on: where a long walk comes to its end, it is of a part of it.
    at = found < REGIONS ? end : regions[found - 1].end;
  }
  return 0;
}

// As scan() on a kernel that has no such call: every page counts as written.
static void read_pagemap(visit *visit) {
  static uint64_t entries[65536];
  uint32_t pages = (uint32_t)(guest_bytes / PAGE), begin = 0;
  int is_open = 0;
  for (uint32_t page = 0; page < pages;) {
    size_t count = pages - page < 65536 ? pages - page : 65536;
    off_t at = (off_t)(guest / PAGE + page) * 8;
    if (pread(PAGEMAP, entries, count * 8, at) != (ssize_t)(count * 8)) fail("reading the page map");
    for (size_t i = 0; i < count; i++, page++) {
      int is_there = (entries[i] >> 62) != 0, is_of_file = entries[i] >> 61 & 1;
      int is_own = is_there && !is_of_file;
      if (is_own && !is_open) begin = page;
      if (!is_own && is_open) visit(begin, page, PAGE_IS_WRITTEN);
      is_open = is_own;
    }
  }
  if (is_open) visit(begin, pages, PAGE_IS_WRITTEN);
}

static void copy_all(uint32_t first, uint32_t end, uint64_t categories) {
  (void)categories;
  copy_range(first, end);
}

static void copy_changed(uint32_t first, uint32_t end, uint64_t categories) {
  // What the kernel has put elsewhere may be a mark of it alone: only reading it tells.
  if (tracker < 0 || categories & (PAGE_IS_WRITTEN | PAGE_IS_SWAPPED)) copy_range(first, end);
  note_range(first, end);
}

// Borrows the userfaultfd that QEMU has opened.
static int borrow_tracker(pid_t pid) {
  char path[64], target[64];
  snprintf(path, sizeof path, "/proc/%d/fd", pid);
  DIR *directory = opendir(path);
  if (directory == NULL) return -1;
  int theirs = -1;
  for (struct dirent *entry; theirs < 0 && (entry = readdir(directory)) != NULL;) {
    ssize_t length = readlinkat(dirfd(directory), entry->d_name, target, sizeof target - 1);
    if (length < 0) continue;
    target[length] = '\0';
    if (strcmp(target, "anon_inode:[userfaultfd]") == 0) theirs = atoi(entry->d_name);
  }
  closedir(directory);
  if (theirs < 0) {
    errno = ENOSYS;
    return -1;
  }
  int process = (int)syscall(SYS_pidfd_open, pid, 0);
  if (process < 0) return -1;
  int ours = (int)syscall(SYS_pidfd_getfd, process, theirs, 0);
  close(process);
  return ours;
}

static void end_tracking(void) {
  struct uffdio_range range = {.start = guest, .len = guest_bytes};
  if (tracker >= 0) ioctl(tracker, UFFDIO_UNREGISTER, &range);
}

static void precopy(pid_t pid) {
  tracker = borrow_tracker(pid);
  struct uffdio_register registration = {
      .range = {.start = guest, .len = guest_bytes},
      .mode = UFFDIO_REGISTER_MODE_WP,
  };
  if (tracker >= 0 && ioctl(tracker, UFFDIO_REGISTER, &registration) != 0) tracker = -1;
  if (tracker >= 0 && scan(PM_SCAN_WP_MATCHING | PM_SCAN_CHECK_WPASYNC, copy_all) == 0) {
    printf("precopied %" PRIu32 "\n", slots);
    return;
  }
  printf("not precopied %s\n", strerrorname_np(errno));
  end_tracking();
  tracker = -1;
}

static void finish(void) {
  if (scan(0, copy_changed) != 0) {
    if (tracker >= 0) fail("finding what was written");
    read_pagemap(copy_changed);
  }
  uint64_t pages = 0;
  for (size_t i = 0; i < run_count; i++) pages += runs[i].pages;
  printf("finished %" PRIu64 " %zu\n", pages, run_count);
}

static void write_map(void) {
  const char *bytes = (const char *)runs;
  for (size_t left = run_count * sizeof *runs; left > 0;) {
    ssize_t written = write(MAP, bytes, left);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail("writing the map");
    bytes += written;
    left -= (size_t)written;
  }
}

int main(int argc, char **argv) {
  if (argc != 4) return 64;
  setvbuf(stdout, NULL, _IOLBF, 0);
  pid_t pid = atoi(argv[1]);
  guest = strtoull(argv[2], NULL, 10);
  guest_bytes = strtoull(argv[3], NULL, 10);
  size_t pages = guest_bytes / PAGE;
  slot_of = malloc(pages * sizeof *slot_of);
  if (slot_of == NULL) fail("beginning");
  memset(slot_of, 0xff, pages * sizeof *slot_of);
  char line[32];
  while (fgets(line, sizeof line, stdin) != NULL) {
    if (strcmp(line, "precopy\n") == 0) precopy(pid);
    if (strcmp(line, "finish\n") != 0) continue;
    finish();
    end_tracking();
    write_map();
    return 0;
  }
  end_tracking();
  return 0;
}
