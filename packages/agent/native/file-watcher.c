// nullspace-watcher: tells what happens to the files in a folder, by inotify.
//
// Node's own watcher knows neither the two ends of a rename nor a queue that
// overflowed, and loses what happens in folders while they are new.
//
//   file-watcher RECURSIVE NAME EXCEPT     watches the working directory
//     RECURSIVE  1: all folders below, too, those that appear later included
//     NAME       only what bears this name in the working directory; everything when empty
//     EXCEPT     a path below that is left out, with all it holds; nothing when empty
//
// Standard output: records of NUL-terminated fields. The first field is a letter, and "d" for a
// folder or "f" for anything else; paths are below the working directory, "" is itself.
//   S-  the watch has begun          O-  events were lost (each with an empty path)
//   Cx PATH  Mx PATH  Dx PATH        created, modified, removed
//   Rx OLD NEW                       renamed
//   E- ERRNO                         it cannot go on
// While nobody reads, it waits, the kernel's queue fills, and that is told as "O-".
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { MAX_PENDING = 64, PAIR_MS = 20, MAX_SEEN = 4096 };

static const uint32_t MASK = IN_CREATE | IN_DELETE | IN_MODIFY | IN_ATTRIB | IN_MOVED_FROM | IN_MOVED_TO |
                             IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR | IN_DONT_FOLLOW | IN_EXCL_UNLINK;

// A watched folder. Watch descriptors are small numbers that the kernel never gives twice.
struct folder {
  char *path;
  char **seen;  // told as created when the folder was found; their own events may still come
  size_t seen_count;
};

// A rename of which only the first half has come.
struct pending {
  uint32_t cookie;
  int is_folder;
  char *path;
  struct timespec since;
};

static struct folder *folders;
static size_t folder_room;
static struct pending pending[MAX_PENDING];
static int pending_count;
static int queue = -1;
static int above = -1;  // watch of the folder that ours lies in
static int recursive;
static const char *only, *except;

static void *sure(void *memory) {
  if (!memory) abort();
  return memory;
}

// --- output -----------------------------------------------------------------

static char out[65536];
static size_t out_used;

static void flush(void) {
  for (size_t at = 0; at < out_used;) {
    ssize_t n = write(STDOUT_FILENO, out + at, out_used - at);
    if (n > 0) at += n;
    else if (errno != EINTR) exit(0);  // nobody listens any more
  }
  out_used = 0;
}

static void put(const char *field) {
  size_t length = strlen(field) + 1;
  if (out_used + length > sizeof out) flush();
  memcpy(out + out_used, field, length);
  out_used += length;
}

static void tell(char what, int is_folder, const char *path) {
  char head[] = {what, is_folder ? 'd' : 'f', 0};
  put(head);
  put(path);
}

static void fail(int error) {
  char number[16];
  snprintf(number, sizeof number, "%d", error);
  put("E-");
  put(number);
  flush();
  exit(1);
}

// --- names ------------------------------------------------------------------

// Files of the agent's own on their way to their place: .nullspace-[new-]<32 hex digits>.
static int is_temporary(const char *name) {
  if (strncmp(name, ".nullspace-", 11) != 0) return 0;
  name += 11;
  if (strncmp(name, "new-", 4) == 0) name += 4;
  return strlen(name) == 32 && strspn(name, "0123456789abcdef") == 32;
}

static const char *base_name(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash ? slash + 1 : path;
}

static char *join(const char *folder, const char *name) {
  char *path;
  if (asprintf(&path, "%s%s%s", folder, *folder ? "/" : "", name) < 0) abort();
  return path;
}

static int is_within(const char *path, const char *folder) {
  size_t length = strlen(folder);
  return strncmp(path, folder, length) == 0 && (path[length] == 0 || path[length] == '/');
}

// --- watched folders --------------------------------------------------------

static int take_seen(struct folder *f, const char *name) {
  for (size_t i = 0; i < f->seen_count; i++)
    if (strcmp(f->seen[i], name) == 0) {
      free(f->seen[i]);
      f->seen[i] = f->seen[--f->seen_count];
      return 1;
    }
  return 0;
}

static void forget(struct folder *f) {
  for (size_t i = 0; i < f->seen_count; i++) free(f->seen[i]);
  free(f->seen);
  free(f->path);
  memset(f, 0, sizeof *f);
}

static void add_folder(const char *path, int is_new);

// Looks for folders in a folder that is watched by now. In a new one everything
// is told: what came before the watch has no events of its own.
static void scan(size_t wd, const char *path, int is_new) {
  int fd = open(*path ? path : ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  DIR *entries = fd < 0 ? NULL : fdopendir(fd);
  if (!entries) {
    if (fd >= 0) close(fd);
    if (errno == EMFILE || errno == ENFILE) fail(errno);
    return;
  }
  // Collected first: the depth of a tree must not be the number of folders that are open.
  char **inside = NULL;
  size_t count = 0, room = 0;
  for (struct dirent *e; (e = readdir(entries));) {
    if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 || is_temporary(e->d_name)) continue;
    int is_folder = e->d_type == DT_DIR;
    if (e->d_type == DT_UNKNOWN) {
      struct stat st;
      is_folder = fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
    }
    char *below = join(path, e->d_name);
    if (*except && strcmp(below, except) == 0) {
      free(below);
      continue;
    }
    if (is_new) {
      tell('C', is_folder, below);
      struct folder *f = &folders[wd];
      if (f->seen_count < MAX_SEEN) {
        f->seen = sure(realloc(f->seen, (f->seen_count + 1) * sizeof *f->seen));
        f->seen[f->seen_count++] = sure(strdup(e->d_name));
      }
    }
    if (!is_folder) {
      free(below);
      continue;
    }
    if (count == room) inside = sure(realloc(inside, (room = room * 2 + 8) * sizeof *inside));
    inside[count++] = below;
  }
  closedir(entries);
  for (size_t i = 0; i < count; i++) {
    add_folder(inside[i], is_new);
    free(inside[i]);
  }
  free(inside);
}

static void add_folder(const char *path, int is_new) {
  int wd = inotify_add_watch(queue, *path ? path : ".", MASK);
  if (wd < 0) {
    if (errno == ENOSPC || errno == ENOMEM) fail(errno);
    if (*path == 0) fail(errno);
    return;  // gone already, or no folder any more: its own events tell
  }
  if ((size_t)wd >= folder_room) {
    size_t room = wd * 2 + 16;
    folders = sure(realloc(folders, room * sizeof *folders));
    memset(folders + folder_room, 0, (room - folder_room) * sizeof *folders);
    folder_room = room;
  }
  struct folder *f = &folders[wd];
  if (f->path && strcmp(f->path, path) == 0) return;  // found by two ways
  free(f->path);
  f->path = sure(strdup(path));
  if (recursive) scan(wd, path, is_new);
}

static void drop_below(const char *path) {
  for (size_t wd = 0; wd < folder_room; wd++)
    if (folders[wd].path && is_within(folders[wd].path, path)) {
      inotify_rm_watch(queue, wd);
      forget(&folders[wd]);
    }
}

static void rename_below(const char *from, const char *to) {
  size_t length = strlen(from);
  for (size_t wd = 0; wd < folder_room; wd++) {
    char *path = folders[wd].path;
    if (!path || !is_within(path, from)) continue;
    if (asprintf(&folders[wd].path, "%s%s", to, path + length) < 0) abort();
    free(path);
  }
}

// --- events -----------------------------------------------------------------

static void end_pending(int index) {
  struct pending p = pending[index];
  memmove(pending + index, pending + index + 1, (--pending_count - index) * sizeof *pending);
  if (p.is_folder) drop_below(p.path);
  int wanted = !is_temporary(base_name(p.path)) && (!*only || strcmp(p.path, only) == 0);
  if (wanted) tell('D', p.is_folder, p.path);
  free(p.path);
}

static int milliseconds_since(const struct timespec *then) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (now.tv_sec - then->tv_sec) * 1000 + (now.tv_nsec - then->tv_nsec) / 1000000;
}

static void moved_from(const struct inotify_event *e, char *path) {
  if (pending_count == MAX_PENDING) end_pending(0);
  struct pending *p = &pending[pending_count++];
  p->cookie = e->cookie;
  p->is_folder = (e->mask & IN_ISDIR) != 0;
  p->path = path;
  clock_gettime(CLOCK_MONOTONIC, &p->since);
}

static void created(char *path, int is_folder) {
  tell('C', is_folder, path);
  if (is_folder && recursive) add_folder(path, 1);
}

static void moved_to(const struct inotify_event *e, char *path, int is_folder) {
  int i = 0;
  while (i < pending_count && pending[i].cookie != e->cookie) i++;
  if (i == pending_count) return created(path, is_folder);
  char *from = pending[i].path;
  memmove(pending + i, pending + i + 1, (--pending_count - i) * sizeof *pending);
  const char *name = base_name(from);
  if (is_folder) {
    // One that is replaced has been empty; its watch ends with it.
    rename_below(from, path);
  }
  if (*only) {
    // Of a single file it matters that it is another one now, not what that was called.
    tell('M', is_folder, path);
  } else if (!is_temporary(name)) {
    put(is_folder ? "Rd" : "Rf");
    put(from);
    put(path);
  } else if (is_folder) created(path, 1);
  else tell(strncmp(name, ".nullspace-new-", 15) == 0 ? 'C' : 'M', 0, path);
  free(from);
}

// The kernel tells of the end of a folder only when nobody has it open any more,
// and it is our working directory: so its parent tells.
static void watch_above(void) {
  struct stat here, there;
  if (stat(".", &here) < 0 || stat("..", &there) < 0) return;
  if (here.st_ino == there.st_ino && here.st_dev == there.st_dev) return;
  above = inotify_add_watch(queue, "..", IN_DELETE | IN_ONLYDIR);
}

static void __attribute__((noreturn)) end_of_root(void) {
  if (!*only) tell('D', 1, "");
  flush();
  exit(0);
}

static void start_anew(void) {
  for (int i = 0; i < pending_count; i++) free(pending[i].path);
  pending_count = 0;
  for (size_t wd = 0; wd < folder_room; wd++)
    if (folders[wd].path) forget(&folders[wd]);
  if (queue >= 0) close(queue);
  queue = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
  if (queue < 0) fail(errno);
  watch_above();
  add_folder("", 0);
}

// Says whether the queue was lost: all that is read of it is void then.
static int handle(const struct inotify_event *e) {
  if (e->mask & IN_Q_OVERFLOW) {
    // From now on first, then the news of the gap: whoever looks anew then misses nothing.
    start_anew();
    put("O-");
    put("");
    return 1;
  }
  if (e->wd == above) {
    struct stat here;
    if (stat(".", &here) < 0 || here.st_nlink == 0) end_of_root();
    return 0;
  }
  if (e->wd < 0 || (size_t)e->wd >= folder_room || !folders[e->wd].path) return 0;
  struct folder *f = &folders[e->wd];
  int is_root = *f->path == 0;
  if (e->mask & IN_IGNORED) {
    forget(f);
    return 0;
  }
  if (e->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT)) {
    if (!is_root) return 0;
    end_of_root();
  }
  int is_folder = (e->mask & IN_ISDIR) != 0;
  const char *name = e->len > 0 ? e->name : "";
  if (*name == 0) {
    // Of a folder below its parent tells the same.
    if (is_root && !*only) tell('M', 1, "");
    return 0;
  }
  if (is_temporary(name) && !(e->mask & IN_MOVED_FROM)) return 0;
  char *path = join(f->path, name);
  int ignored = (*except && is_within(path, except)) ||
                (*only && strcmp(path, only) != 0 && !(e->mask & IN_MOVED_FROM));
  if (ignored) {
    free(path);
    return 0;
  }
  if (e->mask & IN_MOVED_FROM) {
    take_seen(f, name);
    moved_from(e, path);
    return 0;
  }
  if (e->mask & IN_MOVED_TO) {
    if (!take_seen(f, name)) moved_to(e, path, is_folder);
  } else if (e->mask & IN_CREATE) {
    if (!take_seen(f, name)) created(path, is_folder);
  } else if (e->mask & IN_DELETE) {
    take_seen(f, name);
    tell('D', is_folder, path);
  } else {
    tell('M', is_folder, path);
  }
  free(path);
  return 0;
}

int main(int argc, char **argv) {
  if (argc != 4) {
    fprintf(stderr, "usage: file-watcher RECURSIVE NAME EXCEPT\n");
    return 2;
  }
  recursive = argv[1][0] == '1';
  only = argv[2];
  except = argv[3];
  start_anew();
  put("S-");
  put("");
  static char buffer[65536] __attribute__((aligned(__alignof__(struct inotify_event))));
  for (;;) {
    flush();
    struct pollfd polls[] = {{queue, POLLIN, 0}, {STDOUT_FILENO, 0, 0}};
    int wait = pending_count == 0 ? -1 : PAIR_MS - milliseconds_since(&pending[0].since);
    if (poll(polls, 2, pending_count > 0 && wait < 0 ? 0 : wait) < 0 && errno != EINTR) return 1;
    if (polls[1].revents & (POLLERR | POLLHUP)) return 0;
    ssize_t n = polls[0].revents ? read(queue, buffer, sizeof buffer) : 0;
    for (ssize_t at = 0; at < n;) {
      const struct inotify_event *e = (const struct inotify_event *)(buffer + at);
      at += sizeof *e + e->len;
      if (handle(e)) break;
    }
    while (pending_count > 0 && milliseconds_since(&pending[0].since) >= PAIR_MS) end_pending(0);
  }
}
