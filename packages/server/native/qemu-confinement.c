// Loaded into QEMU: before it begins, it gives up what no machine needs.
//
// A program that did so first and then became QEMU would cost each start of a machine some
// milliseconds. What is given up, by
// variables of the environment; see confinement/rights.ts:
//
//   NULLSPACE_MAX_FILE_BYTES  files that grow beyond it, and dumps of its memory; sockets other than
//                             those in folders, as not each family keeps to its network namespace,
//                             and io_uring, which makes sockets too
//   NULLSPACE_USER            being root: "UID GID", and "GROUP" if it keeps one for KVM
//   NULLSPACE_READABLE        all of the host's files but these folders, separated by colons, to be
//                             read, and the working directory; all of its networks, System V IPC
//                             and names. With NULLSPACE_USER only: it takes root
//   NULLSPACE_KVM             (shows it the host's KVM)
//
// Whatever goes wrong ends the process: a QEMU with more rights than it should have does not run.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

// The new root is put together here: a folder that is there on every Linux, and that is not wanted in it.
static const char STAGE[] = "/proc";
static const char KVM[] = "/dev/kvm";
// What a dynamic linker needs besides the folders: QEMU loads parts of itself later.
static const char LINKER_CACHE[] = "/etc/ld.so.cache";
static const char *const LINKS[] = {"/bin", "/lib", "/lib32", "/lib64"};

static void die(const char *what) {
  fprintf(stderr, "qemu-confinement: cannot %s: %s\n", what, strerror(errno));
  _exit(70);
}

static void staged(char target[PATH_MAX], const char *path) {
  if (snprintf(target, PATH_MAX, "%s%s", STAGE, path) >= PATH_MAX) {
    errno = ENAMETOOLONG;
    die("name a folder");
  }
}

// Makes the folders above a path, and the path itself where it is to be a folder.
static void make_folders(char *path, int whole) {
  for (char *slash = path + strlen(STAGE) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
    *slash = 0;
    if (mkdir(path, 0755) != 0 && errno != EEXIST) die("make a folder");
    *slash = '/';
  }
  if (whole && mkdir(path, 0755) != 0 && errno != EEXIST) die("make a folder");
}

static void bind_at(const char *source, const char *target, unsigned long flags) {
  if (mount(source, target, NULL, MS_BIND, NULL) != 0) die(source);
  if (mount(NULL, target, NULL, MS_REMOUNT | MS_BIND | flags, NULL) != 0) die(source);
}

static void show_folder(const char *path, unsigned long flags) {
  char target[PATH_MAX];
  staged(target, path);
  make_folders(target, 1);
  bind_at(path, target, MS_NOSUID | MS_NODEV | flags);
}

static void show_file(const char *path, unsigned long flags) {
  char target[PATH_MAX];
  staged(target, path);
  make_folders(target, 0);
  int fd = open(target, O_CREAT | O_WRONLY | O_CLOEXEC, 0444);
  if (fd < 0) die("make a file");
  close(fd);
  bind_at(path, target, MS_NOSUID | MS_NOEXEC | flags);
}

// Many systems have these as links into /usr, others as folders.
static void show_link_or_folder(const char *path) {
  char target[PATH_MAX], leads[PATH_MAX];
  ssize_t length = readlink(path, leads, sizeof leads - 1);
  if (length >= 0) {
    leads[length] = 0;
    staged(target, path);
    if (symlink(leads, target) != 0) die("make a link");
  } else if (errno == EINVAL) {
    show_folder(path, MS_RDONLY);
  } else if (errno != ENOENT) {
    die(path);
  }
}

static void leave_host(const char *readable) {
  char directory[PATH_MAX];
  if (getcwd(directory, sizeof directory) == NULL) die("find the working directory");
  if (unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) != 0) die("leave the host's namespaces");
  if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) die("keep mounts to itself");
  if (mount("none", STAGE, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=755,size=64k") != 0) {
    die("make a root");
  }
  for (size_t i = 0; i < sizeof LINKS / sizeof LINKS[0]; i++) show_link_or_folder(LINKS[i]);
  char *folders = strdup(readable);
  if (folders == NULL) die("read the environment");
  for (char *rest = folders, *path; (path = strsep(&rest, ":")) != NULL;) {
    if (*path != 0) show_folder(path, MS_RDONLY);
  }
  free(folders);
  if (access(LINKER_CACHE, R_OK) == 0) show_file(LINKER_CACHE, MS_RDONLY | MS_NODEV);
  if (getenv("NULLSPACE_KVM") != NULL) show_file(KVM, 0);
  show_folder(directory, MS_NOEXEC);
  if (chdir(STAGE) != 0 || syscall(SYS_pivot_root, ".", ".") != 0) die("change its root");
  if (umount2(".", MNT_DETACH) != 0) die("let go of the host's root");
  const unsigned long flags = MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC;
  if (mount(NULL, "/", NULL, flags, NULL) != 0) die("close its root");
  if (chdir(directory) != 0) die("return to its directory");
}

static void become(uid_t uid, gid_t gid, const gid_t *group) {
  if (setgroups(group == NULL ? 0 : 1, group) != 0 || setresgid(gid, gid, gid) != 0 ||
      setresuid(uid, uid, uid) != 0) {
    die("become another user");
  }
  // Nothing but numbers of ours: a mistake there must not leave it root.
  if (uid == 0 || gid == 0 || setuid(0) == 0) {
    errno = EPERM;
    die("stop being root");
  }
}

// Connections to the host's own hypervisor, for one, lead past every network namespace.
static void keep_to_files(void) {
#ifdef __x86_64__
  enum { X32 = 0x40000000 };
#define AT(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define IS(value, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, yes, no)
#define ANSWER(value) BPF_STMT(BPF_RET | BPF_K, value)
  struct sock_filter filter[] = {
      AT(arch),
      IS(AUDIT_ARCH_X86_64, 1, 0),
      ANSWER(SECCOMP_RET_KILL_PROCESS),
      AT(nr),
      BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32, 3, 0),
      IS(SYS_io_uring_setup, 2, 0),
      IS(SYS_socket, 2, 0),
      ANSWER(SECCOMP_RET_ALLOW),
      ANSWER(SECCOMP_RET_ERRNO | ENOSYS),
      AT(args[0]),
      IS(AF_UNIX, 0, 1),
      ANSWER(SECCOMP_RET_ALLOW),
      ANSWER(SECCOMP_RET_ERRNO | EAFNOSUPPORT),
  };
  struct sock_fprog program = {.len = sizeof filter / sizeof filter[0], .filter = filter};
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) die("filter its system calls");
#endif
}

__attribute__((constructor)) static void give_up_rights(void) {
  const char *bytes = getenv("NULLSPACE_MAX_FILE_BYTES"), *user = getenv("NULLSPACE_USER");
  const char *readable = getenv("NULLSPACE_READABLE");
  if (bytes == NULL) return;
  struct rlimit no_core = {0, 0}, files = {strtoull(bytes, NULL, 10), strtoull(bytes, NULL, 10)};
  if (setrlimit(RLIMIT_CORE, &no_core) != 0 || setrlimit(RLIMIT_FSIZE, &files) != 0) die("limit itself");
  // Where the program begins as a script, that has become the user before.
  if (user != NULL && getuid() == 0) {
    unsigned uid, gid, group;
    int count = sscanf(user, "%u %u %u", &uid, &gid, &group);
    if (count < 2) die("read its user");
    if (readable != NULL) leave_host(readable);
    become(uid, gid, count == 3 ? &group : NULL);
  }
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) die("give up rights");
  keep_to_files();
}
