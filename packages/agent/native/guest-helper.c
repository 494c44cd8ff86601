// nullspace-helper: what the agent needs of the kernel and Node cannot ask for.
//
// It sets the clock, credits entropy, grows the root file system, and it is the
// parent of every user process. A fork of Node costs tens of milliseconds under
// emulation (its page tables are large) and knows no supplementary groups; a
// vfork of this small static program costs almost nothing, and hands out real
// pipes (Node's are sockets: a guest cannot open /dev/stdout on one). It also
// outlives the agent: while a crashed agent is being restarted it holds the
// pipes, so user processes neither die of SIGPIPE nor lose their exit status.
//
// A process may have a terminal instead of pipes. Node can neither open one nor
// be handed one (the master side of a terminal cannot be opened through /proc),
// so the helper keeps the master and carries bytes between it and two pipes.
//
// It also starts a server of SSH for each connection to a port of the guest's loopback, once it was
// told to. A server that waited for connections would be copied into every fork, with the keys in
// its memory; a socket that waits costs nothing and knows nothing.
//
// Started with NULLSPACE_ASKPASS in its environment it is no helper but what git
// and ssh run to ask for a password: it asks the agent, at the socket named there.
//
// Protocol, over the Unix stream socket given as argv[1], one client at a time:
//   client -> helper   frames: u32 length, then NUL-terminated strings: sequence number, verb, arguments
//   helper -> client   lines:  "ok SEQ [VALUE...]", "error SEQ STEP ERRNO",
//                              "exit PID CODE SIGNAL",
//                              "child PID STDIN STDOUT STDERR META" (after connecting, for each one held),
//                              "adopted NONCE EPOCH CHANNEL_KEY STATE"
// The host sends frames of the same form over a serial port of their own, "adopt", "set-time", "await-link",
// "hold", "release" and "renew", and gets "ok SEQ SECONDS NANOSECONDS" with the guest's clock, or "error SEQ STEP ERRNO". It does not
// go through the agent: a restored guest runs this little code in no time, while the agent's own
// first steps take most of a second under emulation. Here they happen beside each other.
// Descriptors are numbers of this process; the agent opens /proc/<helper>/fd/<n>.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/rtnetlink.h>
#include <linux/random.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include "virtio-port.h"

#ifndef EXT4_IOC_RESIZE_FS
#define EXT4_IOC_RESIZE_FS _IOW('f', 16, uint64_t)
#endif

enum { MAX_FRAME = 8 << 20, MAX_GROUPS = 256, CARRY_BYTES = 16384, MAX_HOSTS = 64 << 10, PORT_RETRY_MS = 200, LINK_MS = 5000 };

// Bytes on their way from one descriptor to another; no more are read before all are written.
struct carrier {
  int from, to;  // -1 when it has ended
  size_t at, end;
  char bytes[CARRY_BYTES];
};

// What stands between a process's terminal and its pipes.
struct terminal {
  int master, slave;  // the slave is held until the process has ended: while nobody else has it open the master is dead
  struct carrier in, out;
};

struct child {
  struct child *next;
  pid_t pid;
  int fds[3];  // stdin (or -1), stdout, stderr (or -1): the agent's ends
  struct terminal *terminal;  // or NULL
  int exited, status;
  char *meta;  // the agent's own words about it, told again to the next agent
};

static struct child *children;
static int client = -1;
static int dry_run;  // tests and development: privileged verbs answer without acting

static void drop_client(void) {
  if (client >= 0) close(client);
  client = -1;
}

static void tell(const char *format, ...) {
  char *line;
  va_list arguments;
  va_start(arguments, format);
  int length = vasprintf(&line, format, arguments);
  va_end(arguments);
  if (length < 0) abort();
  for (int sent = 0; client >= 0 && sent < length;) {
    ssize_t n = send(client, line + sent, length - sent, MSG_NOSIGNAL);
    if (n > 0) sent += n;
    else if (n < 0 && errno != EINTR) drop_client();
  }
  free(line);
}

static void tell_exit(const struct child *c) {
  int signaled = WIFSIGNALED(c->status);
  tell("exit %d %d %d\n", c->pid, signaled ? 0 : WEXITSTATUS(c->status),
       signaled ? WTERMSIG(c->status) : 0);
}

static void close_fd(int *fd) {
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

// --- spawning ---------------------------------------------------------------

struct spawn {
  char **argv, **envp;
  const char *cwd;
  uid_t uid;
  gid_t gid;
  gid_t groups[MAX_GROUPS];
  size_t group_count;
  int ends[3];  // the child's
  int has_terminal;
  int as_shell;  // do all that bash -c does before it becomes the one program of its line
  const char *volatile failed_step;  // written by the vforked child
  volatile int failed_errno;
};

static void exec_on_path(const struct spawn *s) {
  if (strchr(s->argv[0], '/')) {
    execve(s->argv[0], s->argv, s->envp);
    return;
  }
  const char *path = "/usr/local/bin:/usr/bin:/bin";
  for (char **e = s->envp; *e; e++)
    if (strncmp(*e, "PATH=", 5) == 0) path = *e + 5;
  int denied = 0;
  char file[4096];
  for (const char *end = path; *end; path = end + 1) {
    end = strchrnul(path, ':');
    snprintf(file, sizeof file, "%.*s/%s", (int)(end - path), path, s->argv[0]);
    execve(file, s->argv, s->envp);
    if (errno == EACCES) denied = 1;
    else if (errno != ENOENT && errno != ENOTDIR) return;
  }
  errno = denied ? EACCES : ENOENT;
}

static int is_program(const char *file) {
  struct stat found;
  return stat(file, &found) == 0 && S_ISREG(found.st_mode) && access(file, X_OK) == 0;
}

// Where bash would find the program: the first file on PATH that may be executed.
static int find_as_shell(const struct spawn *s, const char *path, char *file, size_t room) {
  const char *name = s->argv[0];
  if (strchr(name, '/')) return (size_t)snprintf(file, room, "%s", name) < room;
  for (const char *at = path, *end; *at; at = *end ? end + 1 : end) {
    end = strchrnul(at, ':');
    if ((size_t)snprintf(file, room, "%.*s/%s", (int)(end - at), at, name) >= room) return 0;
    if (is_program(file)) return 1;
  }
  return 0;
}

// The caller has left room for three variables before NULL, and knows that bash would change no others.
static void exec_as_shell(struct spawn *s) {
  char file[4096] = "_=", folder[4096] = "PWD=";
  const char *path = "";
  char **end = s->envp;
  for (; *end; end++)
    if (strncmp(*end, "PATH=", 5) == 0) path = *end + 5;
  errno = ENOENT;
  if (!find_as_shell(s, path, file + 2, sizeof file - 2)) return;
  if (syscall(SYS_getcwd, folder + 4, sizeof folder - 4) < 0) return;
  end[0] = folder, end[1] = file, end[2] = "SHLVL=0", end[3] = NULL;
  execve(file + 2, s->argv, s->envp);
}

// Runs in the vforked child, on the parent's memory: system calls only, raw ones where glibc keeps state.
static void __attribute__((noreturn, noinline)) become(struct spawn *s) {
  sigset_t none;
  sigemptyset(&none);
  signal(SIGPIPE, SIG_DFL);
  sigprocmask(SIG_SETMASK, &none, NULL);
  setsid();
  int oom = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (oom >= 0 && write(oom, "0", 1) < 0) { /* a test that is not root cannot, and need not */ }
  s->failed_step = "stdio";
  for (int i = 0; i < 3; i++)
    if (dup2(s->ends[i], i) < 0) goto failed;
  s->failed_step = "terminal";
  if (s->has_terminal && ioctl(0, TIOCSCTTY, 0) < 0) goto failed;
  s->failed_step = "user";
  if (geteuid() == 0) {
    if (syscall(SYS_setgroups, s->group_count, s->groups) < 0) goto failed;
    if (syscall(SYS_setresgid, s->gid, s->gid, s->gid) < 0) goto failed;
    if (syscall(SYS_setresuid, s->uid, s->uid, s->uid) < 0) goto failed;
  } else if (s->uid != geteuid()) {
    errno = EPERM;
    goto failed;
  }
  umask(022);
  s->failed_step = "cwd";
  if (chdir(s->cwd) < 0) goto failed;
  s->failed_step = "exec";
  if (s->as_shell) exec_as_shell(s);
  else exec_on_path(s);
failed:
  s->failed_errno = errno;
  _exit(127);
}

// 0, 1 and 2 are open (on /dev/null), so no end of a pipe can be one of them.
static int make_stdio(int want_stdin, int ours[3], int theirs[3]) {
  for (int i = 0; i < 3; i++) {
    int ends[2];
    if (i == 0 && !want_stdin) {
      if ((theirs[0] = open("/dev/null", O_RDONLY | O_CLOEXEC)) < 0) return -1;
      continue;
    }
    if (pipe2(ends, O_CLOEXEC) < 0) return -1;
    ours[i] = ends[i == 0];
    theirs[i] = ends[i != 0];
  }
  return 0;
}

static void close_terminal(struct child *c) {
  if (!c->terminal) return;
  close_fd(&c->terminal->master);
  close_fd(&c->terminal->slave);
  close_fd(&c->terminal->in.from);
  close_fd(&c->terminal->out.to);
  free(c->terminal);
  c->terminal = NULL;
}

static int set_size(int terminal, const char *columns, const char *rows) {
  struct winsize size = {.ws_col = atoi(columns), .ws_row = atoi(rows)};
  return ioctl(terminal, TIOCSWINSZ, &size);
}

// SIZE is "COLUMNSxROWS".
static int make_terminal(struct child *c, struct spawn *s, const char *size) {
  const char *rows = strchr(size, 'x');
  struct terminal *t = calloc(1, sizeof *t);
  if (!t) abort();
  t->master = t->slave = t->in.from = t->in.to = t->out.from = t->out.to = -1;
  c->terminal = t;
  int in[2], out[2], unlocked = 0;
  if (!rows) {
    errno = EINVAL;
    return -1;
  }
  if ((t->master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK)) < 0) return -1;
  if (ioctl(t->master, TIOCSPTLCK, &unlocked) < 0) return -1;
  // By descriptor, not by name: /dev/pts may be anything to the helper.
  if ((t->slave = ioctl(t->master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC)) < 0) return -1;
  if (geteuid() == 0 && (fchown(t->slave, s->uid, -1) < 0 || fchmod(t->slave, 0620) < 0)) return -1;
  if (set_size(t->master, size, rows + 1) < 0) return -1;
  // Else the erase key takes one byte of a character away, not the character.
  struct termios modes;
  if (tcgetattr(t->slave, &modes) < 0) return -1;
  modes.c_iflag |= IUTF8;
  if (tcsetattr(t->slave, TCSANOW, &modes) < 0) return -1;
  if (pipe2(in, O_CLOEXEC) < 0) return -1;
  t->in.from = in[0], c->fds[0] = in[1];
  if (pipe2(out, O_CLOEXEC) < 0) return -1;
  c->fds[1] = out[0], t->out.to = out[1];
  // Only our two ends: the agent opens ends of its own, and chooses for itself.
  if (fcntl(in[0], F_SETFL, O_NONBLOCK) < 0 || fcntl(out[1], F_SETFL, O_NONBLOCK) < 0) return -1;
  t->in.to = t->out.from = t->master;
  for (int i = 0; i < 3; i++)
    if ((s->ends[i] = fcntl(t->slave, F_DUPFD_CLOEXEC, 3)) < 0) return -1;
  s->has_terminal = 1;
  return 0;
}

// STDIN is 0 for none, 1 for a pipe, or the size of a terminal as "80x24".
// spawn META UID GID GROUPS CWD STDIN ARGC ARGV... ENV...
// spawn-line, with the same, does what bash -c does with the line of these words, or fails.
static void do_spawn(const char *seq, char **arg, int count, int as_shell) {
  struct spawn s = {.ends = {-1, -1, -1}, .as_shell = as_shell, .failed_step = "stdio"};
  struct child *c = calloc(1, sizeof *c);
  if (!c) abort();
  for (int i = 0; i < 3; i++) c->fds[i] = -1;
  int argc = atoi(arg[6]);
  if (argc < 1 || argc > count - 7) {
    errno = EINVAL;
    goto failed;
  }
  c->meta = strdup(arg[0]);
  s.uid = strtoul(arg[1], NULL, 10);
  s.gid = strtoul(arg[2], NULL, 10);
  for (char *g = strtok(arg[3], ","); g && s.group_count < MAX_GROUPS; g = strtok(NULL, ","))
    s.groups[s.group_count++] = strtoul(g, NULL, 10);
  s.cwd = arg[4];
  if (strchr(arg[5], 'x')) {
    s.failed_step = "terminal";
    if (make_terminal(c, &s, arg[5]) < 0) goto failed;
  } else if (make_stdio(arg[5][0] == '1', c->fds, s.ends) < 0) {
    goto failed;
  }
  // argv is followed by the environment in one array: a NULL between them is made by moving argv down by one.
  s.argv = arg + 6;
  memmove(s.argv, s.argv + 1, argc * sizeof *s.argv);
  s.argv[argc] = NULL;
  s.envp = arg + 7 + argc;
  c->pid = vfork();
  if (c->pid == 0) become(&s);
  if (c->pid < 0) {
    s.failed_step = "fork";
    goto failed;
  }
  for (int i = 0; i < 3; i++) close_fd(&s.ends[i]);
  if (s.failed_errno) {
    waitpid(c->pid, NULL, 0);
    errno = s.failed_errno;
    goto failed;
  }
  c->next = children;
  children = c;
  tell("ok %s %d %d %d %d\n", seq, c->pid, c->fds[0], c->fds[1], c->fds[2]);
  return;
failed:
  tell("error %s %s %d\n", seq, s.failed_step, errno);
  for (int i = 0; i < 3; i++) {
    close_fd(&s.ends[i]);
    close_fd(&c->fds[i]);
  }
  close_terminal(c);
  free(c->meta);
  free(c);
}

// --- terminals --------------------------------------------------------------

// Moves what can be moved without waiting. Afterwards `from` is waited for if nothing is held, else `to`.
static void carry(struct carrier *c) {
  if (c->to < 0) return;
  if (c->at == c->end && c->from >= 0) {
    ssize_t n = read(c->from, c->bytes, sizeof c->bytes);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    // The end of a pipe is 0; a terminal that nobody holds any more is EIO.
    if (n <= 0) c->from = -1;
    c->at = 0;
    c->end = n > 0 ? n : 0;
  }
  while (c->at < c->end) {
    ssize_t n = write(c->to, c->bytes + c->at, c->end - c->at);
    if (n >= 0) c->at += n;
    else if (errno == EAGAIN) return;
    // Nobody will ever read it: whoever writes must not be held up for that.
    else if (errno != EINTR) c->at = c->end;
  }
}

static void carry_terminal(struct terminal *t) {
  int from = t->in.from;
  carry(&t->in);
  if (t->in.from < 0 && from >= 0) close_fd(&from), t->in.to = -1;
  carry(&t->out);
  // The agent reads the end of the output once all of it has been handed over.
  if (t->out.from < 0 && t->out.at == t->out.end) close_fd(&t->out.to);
}

static int resize(pid_t pid, const char *columns, const char *rows) {
  for (struct child *c = children; c; c = c->next)
    if (c->pid == pid && c->terminal) return set_size(c->terminal->master, columns, rows);
  errno = ESRCH;
  return -1;
}

static void reap(void) {
  int status;
  pid_t pid;
  while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
    for (struct child *c = children; c; c = c->next)
      if (c->pid == pid && !c->exited) {
        c->exited = 1;
        c->status = status;
        if (c->terminal) close_fd(&c->terminal->slave);
        tell_exit(c);
      }
}

// close-stdin PID: our copy of the writing end, so that the process sees its end once the agent's is closed too.
static int close_stdin(pid_t pid) {
  for (struct child *c = children; c; c = c->next)
    if (c->pid == pid) close_fd(&c->fds[0]);
  return 0;
}

// release PID: the agent has read all it wants of a process that has ended.
static int release(pid_t pid) {
  for (struct child **link = &children; *link; link = &(*link)->next) {
    struct child *c = *link;
    if (c->pid != pid || !c->exited) continue;
    *link = c->next;
    for (int i = 0; i < 3; i++) close_fd(&c->fds[i]);
    close_terminal(c);
    free(c->meta);
    free(c);
    return 0;
  }
  errno = ESRCH;
  return -1;
}

// --- a server for each connection ---------------------------------------------

static int listener = -1;
static char **server_argv;

static char **copy_strings(char **from, int count) {
  char **copy = calloc(count + 1, sizeof *copy);
  if (!copy) abort();
  for (int i = 0; i < count; i++)
    if (!(copy[i] = strdup(from[i]))) abort();
  return copy;
}

static int listen_on_loopback(const char *port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), yes = 1;
  if (fd < 0) return -1;
  if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0 &&
      bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(fd, 64) == 0)
    return fd;
  int saved = errno;
  close(fd);
  errno = saved;
  return -1;
}

// serve PORT ARGV...: from now on each connection to this port of 127.0.0.1 (any that is free when 0)
// is standard input and output of a process of its own. Told again, it keeps its port. Answers with the port.
static int serve(const char *port, char **argv, int count) {
  struct sockaddr_in address;
  socklen_t size = sizeof address;
  if (listener < 0 && (listener = listen_on_loopback(port)) < 0) return -1;
  for (char **s = server_argv; s && *s; s++) free(*s);
  free(server_argv);
  server_argv = copy_strings(argv, count);
  return getsockname(listener, (struct sockaddr *)&address, &size) == 0 ? ntohs(address.sin_port) : -1;
}

static void start_server(void) {
  static char *environment[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", NULL};
  struct spawn s = {.argv = server_argv, .envp = environment, .cwd = "/", .uid = geteuid(), .gid = getegid()};
  int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
  if (fd < 0) return;
  s.ends[0] = s.ends[1] = fd;
  // Where it complains: the console.
  s.ends[2] = 2;
  // One that cannot be started ends, and with it the connection.
  if (vfork() == 0) become(&s);
  close(fd);
}

// --- the machine ------------------------------------------------------------

static int set_time(const char *seconds, const char *nanoseconds) {
  struct timespec t = {.tv_sec = strtoll(seconds, NULL, 10), .tv_nsec = strtol(nanoseconds, NULL, 10)};
  return dry_run ? 0 : clock_settime(CLOCK_REALTIME, &t);
}

static int hex_digit(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

// Credits the host's bytes and makes the kernel's generator start anew from them at once.
static int reseed(const char *hex) {
  struct {
    struct rand_pool_info info;
    unsigned char bytes[256];
  } pool = {0};
  size_t size = strlen(hex) / 2;
  if (size < 32 || size > sizeof pool.bytes) {
    errno = EINVAL;
    return -1;
  }
  for (size_t i = 0; i < size; i++) {
    int high = hex_digit(hex[2 * i]), low = hex_digit(hex[2 * i + 1]);
    if (high < 0 || low < 0) {
      errno = EINVAL;
      return -1;
    }
    ((unsigned char *)pool.info.buf)[i] = high << 4 | low;
  }
  pool.info.entropy_count = size * 8;
  pool.info.buf_size = size;
  if (dry_run) return 0;
  int fd = open("/dev/random", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  int result = ioctl(fd, RNDADDENTROPY, &pool);
  if (result == 0) result = ioctl(fd, RNDRESEEDCRNG);
  close(fd);
  return result;
}

// Online, by the ioctl that resize2fs itself uses: needs no program of the root file system.
static int grow_file_system(const char *device, const char *mount_point) {
  if (dry_run) return 0;
  struct statfs fs;
  uint64_t bytes = 0;
  int disk = open(device, O_RDONLY | O_CLOEXEC), root = open(mount_point, O_RDONLY | O_CLOEXEC);
  int result = disk < 0 || root < 0 ? -1 : 0;
  if (result == 0) result = ioctl(disk, BLKGETSIZE64, &bytes);
  if (result == 0) result = fstatfs(root, &fs);
  if (result == 0) {
    uint64_t blocks = bytes / fs.f_bsize;
    result = ioctl(root, EXT4_IOC_RESIZE_FS, &blocks);
  }
  int saved = errno;
  close_fd(&disk);
  close_fd(&root);
  errno = saved;
  return result;
}

static int bind_over(const char *source, const char *target) {
  return dry_run ? 0 : mount(source, target, NULL, MS_BIND, NULL);
}

// Into the file itself, in one write, which whoever watches it then sees. That is also far less
// work for a file system than the other way: another file that takes its name, whole or not at all.
static int write_file(const char *path, mode_t mode, const char *text, int replace) {
  char temporary[4096];
  if (snprintf(temporary, sizeof temporary, "%s.nullspace", path) >= (int)sizeof temporary) {
    errno = ENAMETOOLONG;
    return -1;
  }
  const char *target = replace ? temporary : path;
  int fd = open(target, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, mode);
  // A link, or whatever else somebody has put there, goes.
  if (fd < 0 && errno == ELOOP && unlink(target) == 0)
    fd = open(target, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, mode);
  struct stat now;
  if (fd < 0 || fstat(fd, &now) != 0) return -1;
  size_t size = strlen(text);
  int result = write(fd, text, size) == (ssize_t)size ? 0 : -1;
  if (result == 0 && now.st_size > (off_t)size) result = ftruncate(fd, size);
  if (result == 0 && (now.st_mode & 07777) != mode) result = fchmod(fd, mode);
  if (close(fd) != 0) result = -1;
  return result == 0 && replace ? rename(temporary, path) : result;
}

static int write_line(const char *path, const char *text) {
  char *line;
  if (asprintf(&line, "%s\n", text) < 0) return -1;
  int result = write_file(path, 0600, line, 0);
  free(line);
  return result;
}

// The hosts file with the machine's own name in Debian's line for it.
static int write_hosts(const char *path, const char *hostname) {
  static char old[MAX_HOSTS], new[MAX_HOSTS + 512];
  ssize_t size = 0;
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd >= 0) {
    size = read(fd, old, sizeof old - 1);
    close(fd);
  }
  old[size < 0 ? 0 : size] = 0;
  size_t used = 0;
  int has_localhost = 0;
  for (char *line = old, *end; *line; line = end) {
    end = strchrnul(line, '\n');
    size_t length = end - line;
    if (*end) end++;
    if (length == 0 || strncmp(line, "127.0.1.1", 9) == 0) continue;
    has_localhost |= strncmp(line, "127.0.0.1", 9) == 0;
    used += snprintf(new + used, sizeof new - used, "%.*s\n", (int)length, line);
  }
  if (!has_localhost) used += snprintf(new + used, sizeof new - used, "127.0.0.1\tlocalhost\n");
  snprintf(new + used, sizeof new - used, "127.0.1.1\t%s\n", hostname);
  return write_file(path, 0644, new, 0);
}

// Whether the network card has a link; one that the guest has taken down, or has not, is not waited for.
static int has_link(void) {
  char carrier = '1';
  int fd = open("/sys/class/net/eth0/carrier", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 1;
  ssize_t n = read(fd, &carrier, 1);
  close(fd);
  return n != 1 || carrier == '1';
}

// The kernel has the card's link, which the host has just given it: the next packet will not be refused.
static int await_link(void) {
  if (dry_run) return 0;
  struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};
  int events = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), result = -1;
  if (events < 0) return -1;
  if (bind(events, (struct sockaddr *)&address, sizeof address) == 0) {
    // Listening comes before looking, or the change could fall between the two.
    char message[8192];
    struct pollfd wait = {events, POLLIN, 0};
    for (result = 0; result == 0 && !has_link();) {
      int ready = poll(&wait, 1, LINK_MS);
      if (ready == 0) errno = ETIMEDOUT;
      if (ready == 0 || (ready < 0 && errno != EINTR)) result = -1;
      else if (ready > 0 && recv(events, message, sizeof message, MSG_DONTWAIT) < 0 && errno != EAGAIN && errno != ENOBUFS)
        result = -1;
    }
  }
  int saved = errno;
  close(events);
  errno = saved;
  return result;
}

static const char *below(const char *root, const char *path) {
  static char full[4][4096];
  static int next;
  char *result = full[next++ % 4];
  snprintf(result, sizeof full[0], "%s%s", root, path);
  return result;
}

// What lets users of the former machine in by SSH.
static int remove_principals(const char *path) { return unlink(path) == 0 || errno == ENOENT ? 0 : -1; }

#define HOST_KEY "ssh_host_ed25519_key"

// The one host key of the machine; those of another kind are of the machine before, and go. By
// their names, those that ssh-keygen -A gives: to read the folder takes a restored guest far longer.
static int write_host_key(const char *folder, const char *private_key, const char *public_key) {
  static const char *const others[] = {"rsa", "dsa", "ecdsa"}, *const parts[] = {"", ".pub"};
  char path[4096];
  // A root file system without OpenSSH.
  if (access(folder, F_OK) != 0) return errno == ENOENT ? 0 : -1;
  for (int i = 0; i < 6; i++) {
    snprintf(path, sizeof path, "%s/ssh_host_%s_key%s", folder, others[i / 2], parts[i % 2]);
    if (unlink(path) != 0 && errno != ENOENT) return -1;
  }
  // Written over only if nobody but root can have it open, or read it meanwhile.
  snprintf(path, sizeof path, "%s/" HOST_KEY, folder);
  struct stat now;
  int result = 0;
  if (lstat(path, &now) == 0 &&
      (!S_ISREG(now.st_mode) || now.st_uid != geteuid() || now.st_nlink != 1 || (now.st_mode & 07777) != 0600))
    result = unlink(path);
  if (result == 0) result = write_file(path, 0600, private_key, 0);
  snprintf(path, sizeof path, "%s/" HOST_KEY ".pub", folder);
  return result == 0 ? write_file(path, 0644, public_key, 0) : result;
}

// --- holding the guest ------------------------------------------------------

// A program that goes on in a copy must find the copy's clock and random bytes, never those of the
// original. So nothing of normal priority runs from just before a capture until its copy is renewed, or
// its source released: a thread on each processor is in the way. This program's own goes before them.
// Freezing the programs instead would break their system calls off, in the source as well.
enum { HELPER_PRIORITY = 2, HOLDER_PRIORITY = 1 };

// A host that dies meanwhile releases nobody. Below what the kernel grants such threads of a second.
static const double hold_seconds = 0.9;

static volatile int held, holding;
static volatile double held_until;
static int holders, hold_requests;

static double monotonic(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static int before_normal_programs(pid_t thread, int priority) {
  struct sched_param param = {.sched_priority = priority};
  // What this program starts is of normal priority again.
  return sched_setscheduler(thread, SCHED_FIFO | SCHED_RESET_ON_FORK, &param);
}

static void *holder(void *processor) {
  cpu_set_t only;
  CPU_ZERO(&only);
  CPU_SET((intptr_t)processor, &only);
  sched_setaffinity(0, sizeof only, &only);
  if (before_normal_programs(0, HOLDER_PRIORITY) != 0) return NULL;
  for (uint64_t one; read(hold_requests, &one, sizeof one) == sizeof one;) {
    __atomic_add_fetch(&holding, 1, __ATOMIC_SEQ_CST);
    while (held && monotonic() < held_until) __builtin_ia32_pause();
    __atomic_sub_fetch(&holding, 1, __ATOMIC_SEQ_CST);
  }
  return NULL;
}

static int prepare_to_hold(void) {
  pthread_attr_t small;
  holders = sysconf(_SC_NPROCESSORS_ONLN);
  hold_requests = eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE);
  if (hold_requests < 0 || before_normal_programs(0, HELPER_PRIORITY) != 0) return -1;
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, 65536);
  for (intptr_t i = 0; i < holders; i++) {
    pthread_t thread;
    errno = pthread_create(&thread, &small, holder, (void *)i);
    if (errno != 0) return -1;
  }
  return 0;
}

static int hold(void) {
  uint64_t requests = holders;
  held_until = monotonic() + hold_seconds;
  held = 1;
  if (write(hold_requests, &requests, sizeof requests) != sizeof requests) return -1;
  // The one on this thread's own processor begins when this thread waits.
  while (holding < holders - 1 && monotonic() < held_until) {}
  return 0;
}

static void release_hold(void) { held = 0; }

// Gives the step that failed, or NULL. The clock first: each moment makes the host's older.
static const char *renew(const char *seconds, const char *nanoseconds, const char *entropy) {
  const char *step = set_time(seconds, nanoseconds) != 0 ? "set-time" : reseed(entropy) != 0 ? "reseed" : NULL;
  release_hold();
  return step;
}

// --- adoption ---------------------------------------------------------------

struct adoption {
  const char *seconds, *nanoseconds, *entropy, *machine_id, *hostname, *boot_id, *generation, *state,
      *channel_key, *grow, *host_key, *public_host_key;
};

// Makes the guest a machine of its own. Gives the step that failed, or NULL.
static const char *adopt(const char *root, const char *folder, struct adoption a) {
  char id[64], generation[32], name[128];
  snprintf(id, sizeof id, "%s\n", a.machine_id);
  snprintf(generation, sizeof generation, "%s\n", a.generation);
  const char *failed = renew(a.seconds, a.nanoseconds, a.entropy);
  if (failed) return failed;
  if (write_file(below(root, "/etc/machine-id"), 0444, id, 0) != 0) return "machine-id";
  if (access(below(root, "/var/lib/dbus"), F_OK) == 0 &&
      write_file(below(root, "/var/lib/dbus/machine-id"), 0444, id, 0) != 0)
    return "machine-id";
  snprintf(name, sizeof name, "%s\n", a.hostname);
  if (write_file(below(root, "/etc/hostname"), 0644, name, 0) != 0) return "hostname";
  if (write_hosts(below(root, "/etc/hosts"), a.hostname) != 0) return "hosts";
  if (!dry_run && sethostname(a.hostname, strlen(a.hostname)) != 0) return "hostname";
  if (write_host_key(below(root, "/etc/ssh"), a.host_key, a.public_host_key) != 0) return "host-key";
  if (remove_principals(below(folder, "/ssh/principals")) != 0) return "principals";
  snprintf(name, sizeof name, "%s\n", a.boot_id);
  if (write_file(below(folder, "/boot_id"), 0644, name, 0) != 0) return "boot-id";
  // Their readers take the first line alone, so one write makes them whole.
  if (write_line(below(folder, "/machine.json"), a.state) != 0) return "state";
  if (write_line(below(folder, "/channel.key"), a.channel_key) != 0) return "state";
  // Not replaced: programs of the guest watch this file to learn that they were restored.
  if (write_file(below(folder, "/generation"), 0644, generation, 0) != 0) return "generation";
  if (a.grow[0] && grow_file_system(a.grow, "/") != 0) return "grow";
  // As far as it can be read back.
  if (dry_run) return NULL;
  errno = EIO;
  return gethostname(name, sizeof name) == 0 && strcmp(name, a.hostname) == 0 ? NULL : "hostname";
}

// --- the host ---------------------------------------------------------------

static const char *root_folder = "", *state_folder = "";
static int port = -1, host_is_there = 1;

enum { ADOPT_ARGUMENTS = 12 };

static struct adoption adoption_of(char **arg) {
  return (struct adoption){arg[0], arg[1], arg[2], arg[3], arg[4], arg[5], arg[6], arg[7], arg[8], arg[9],
                           arg[10], arg[11]};
}

static void tell_host(const char *seq, const char *step) {
  char line[160];
  struct timespec now;
  int error = errno;
  clock_gettime(CLOCK_REALTIME, &now);
  int length = step ? snprintf(line, sizeof line, "error %s %s %d\n", seq, step, error)
                    : snprintf(line, sizeof line, "ok %s %lld %ld\n", seq, (long long)now.tv_sec, now.tv_nsec);
  // A host that does not take so little is gone; whoever comes next asks anew.
  if (write(port, line, length) != length) return;
}

// fields: sequence number, verb, arguments
static void handle_host(char **field, int count) {
  const char *seq = field[0], *step = "verb";
  struct adoption a;
  errno = EINVAL;
  if (count == 4 && strcmp(field[1], "set-time") == 0) {
    step = set_time(field[2], field[3]) == 0 ? NULL : "set-time";
  } else if (count == 2 && strcmp(field[1], "await-link") == 0) {
    step = await_link() == 0 ? NULL : "link";
  } else if (count == 2 && strcmp(field[1], "hold") == 0) {
    step = hold() == 0 ? NULL : "hold";
  } else if (count == 2 && strcmp(field[1], "release") == 0) {
    release_hold();
    step = NULL;
  } else if (count == 5 && strcmp(field[1], "renew") == 0) {
    step = renew(field[2], field[3], field[4]);
  } else if (count == 3 + ADOPT_ARGUMENTS && strcmp(field[1], "adopt") == 0) {
    a = adoption_of(field + 3);
    step = adopt(root_folder, state_folder, a);
    // The agent looks into this file before it serves anyone, and waits for our line if it is new.
    if (!step && write_file(below(state_folder, "/epoch"), 0600, seq, 0) != 0) step = "epoch";
    if (!step) tell("adopted %s %s %s %s\n", field[2], seq, a.channel_key, a.state);
  }
  tell_host(seq, step);
}

// --- the client -------------------------------------------------------------

// The strings of a frame, at least two; NULL for what is no frame.
static char **split(char *frame, uint32_t length, int *count) {
  *count = 0;
  for (uint32_t i = 0; i < length; i++) *count += frame[i] == 0;
  if (length == 0 || frame[length - 1] != 0 || *count < 2) return NULL;
  // With room for NULL, and for what spawn-line adds.
  char **field = calloc(*count + 4, sizeof *field);
  if (!field) abort();
  for (int i = 0; i < *count; i++, frame += strlen(frame) + 1) field[i] = frame;
  return field;
}

static void handle(char *frame, uint32_t length) {
  int count;
  char **field = split(frame, length, &count);
  if (!field) return drop_client();
  const char *seq = field[0], *verb = field[1];
  char **arg = field + 2;
  int arguments = count - 2, result;
  errno = EINVAL;
  if (strcmp(verb, "spawn") == 0 && arguments >= 8) {
    do_spawn(seq, arg, arguments, 0);
    free(field);
    return;
  }
  if (strcmp(verb, "spawn-line") == 0 && arguments >= 8) {
    do_spawn(seq, arg, arguments, 1);
    free(field);
    return;
  }
  if (strcmp(verb, "release") == 0 && arguments == 1) result = release(atoi(arg[0]));
  else if (strcmp(verb, "close-stdin") == 0 && arguments == 1) result = close_stdin(atoi(arg[0]));
  else if (strcmp(verb, "resize") == 0 && arguments == 3) result = resize(atoi(arg[0]), arg[1], arg[2]);
  else if (strcmp(verb, "set-time") == 0 && arguments == 2) result = set_time(arg[0], arg[1]);
  else if (strcmp(verb, "reseed") == 0 && arguments == 1) result = reseed(arg[0]);
  else if (strcmp(verb, "grow") == 0 && arguments == 2) result = grow_file_system(arg[0], arg[1]);
  else if (strcmp(verb, "bind") == 0 && arguments == 2) result = bind_over(arg[0], arg[1]);
  else if (strcmp(verb, "replace") == 0 && arguments == 2) result = write_file(arg[0], 0600, arg[1], 1);
  else if (strcmp(verb, "remove") == 0 && arguments == 1) result = unlink(arg[0]);
  else if (strcmp(verb, "adopt") == 0 && arguments == ADOPT_ARGUMENTS) {
    const char *step = adopt(root_folder, state_folder, adoption_of(arg));
    result = step ? -1 : 0;
    if (step) verb = step;
  }
  else if (strcmp(verb, "sync") == 0 && arguments == 0) sync(), result = 0;
  else if (strcmp(verb, "serve") == 0 && arguments >= 2) {
    int number = serve(arg[0], arg + 1, arguments - 1);
    if (number > 0) {
      tell("ok %s %d\n", seq, number);
      free(field);
      return;
    }
    result = -1;
  }
  else result = -1;
  if (result == 0) tell("ok %s\n", seq);
  else tell("error %s %s %d\n", seq, verb, errno);
  free(field);
}

static void greet(int fd) {
  drop_client();
  client = fd;
  tell("ready %d\n", getpid());
  for (struct child *c = children; c; c = c->next) {
    tell("child %d %d %d %d %s\n", c->pid, c->fds[0], c->fds[1], c->fds[2], c->meta);
    if (c->exited) tell_exit(c);
  }
  tell("attached\n");
}

static int listen_on(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) return -1;
  strcpy(address.sun_path, path);
  unlink(path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  umask(077);
  if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 4) < 0) return -1;
  return fd;
}

enum { OWN_POLLS = 5 };

// What to wait for: the helper's own, then three of each terminal.
static size_t what_to_poll(struct pollfd **polls, size_t *room, int signals, int server) {
  size_t count = OWN_POLLS;
  for (struct child *c = children; c; c = c->next) count += c->terminal ? 3 : 0;
  if (count > *room && !(*polls = realloc(*polls, (*room = count * 2) * sizeof **polls))) abort();
  struct pollfd *p = *polls;
  *p++ = (struct pollfd){signals, POLLIN, 0};
  *p++ = (struct pollfd){server, POLLIN, 0};
  *p++ = (struct pollfd){client, POLLIN, 0};
  // A port whose host is gone says so for ever: look again from time to time.
  *p++ = (struct pollfd){host_is_there ? port : -1, POLLIN, 0};
  *p++ = (struct pollfd){listener, POLLIN, 0};
  for (struct child *c = children; c; c = c->next) {
    if (!c->terminal) continue;
    struct carrier *in = &c->terminal->in, *out = &c->terminal->out;
    int writing = in->at < in->end, reading = out->from >= 0 && out->at == out->end;
    int events = (writing ? POLLOUT : 0) | (reading ? POLLIN : 0);
    *p++ = (struct pollfd){writing ? -1 : in->from, POLLIN, 0};
    // A descriptor that is not asked about would still tell, again and again, that it has hung up.
    *p++ = (struct pollfd){events ? c->terminal->master : -1, events, 0};
    *p++ = (struct pollfd){out->at < out->end ? out->to : -1, POLLOUT, 0};
  }
  return count;
}

struct input {
  char *bytes;
  size_t filled, room;
};

// Reads what there is; gives what read gave.
static ssize_t fill(struct input *in, int fd) {
  if (in->room - in->filled < 65536 && !(in->bytes = realloc(in->bytes, in->room = in->filled + 131072))) abort();
  ssize_t n = read(fd, in->bytes + in->filled, in->room - in->filled);
  if (n > 0) in->filled += n;
  return n;
}

// The next whole frame, to be ended by take; NULL when there is none yet, or when one is too long.
static char *next_frame(const struct input *in, size_t at, uint32_t *length) {
  if (in->filled - at < 4) return NULL;
  memcpy(length, in->bytes + at, 4);
  if (*length > MAX_FRAME || in->filled - at - 4 < *length) return NULL;
  return in->bytes + at + 4;
}

static int too_long(const struct input *in) {
  uint32_t length = 0;
  if (in->filled >= 4) memcpy(&length, in->bytes, 4);
  return length > MAX_FRAME;
}

static void take(struct input *in, size_t bytes) { memmove(in->bytes, in->bytes + bytes, in->filled -= bytes); }

static void serve_client(struct input *in) {
  ssize_t n = fill(in, client);
  if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN)) drop_client();
  size_t at = 0;
  uint32_t length;
  for (char *frame; client >= 0 && (frame = next_frame(in, at, &length)); at += 4 + length) handle(frame, length);
  if (client < 0) in->filled = 0;
  else take(in, at);
  if (too_long(in)) drop_client(), in->filled = 0;
}

static void serve_host(struct input *in) {
  while (fill(in, port) > 0) {}
  size_t at = 0;
  uint32_t length;
  for (char *frame; (frame = next_frame(in, at, &length)); at += 4 + length) {
    int count;
    char **field = split(frame, length, &count);
    if (field) handle_host(field, count);
    free(field);
  }
  take(in, at);
  if (too_long(in)) in->filled = 0;
}

// The answer goes to standard output; none at all is a refusal.
static int ask(const char *path, const char *prompt) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) return 1;
  strcpy(address.sun_path, path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), answered = 0;
  if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0) return 1;
  size_t length = strlen(prompt);
  if (send(fd, prompt, length, MSG_NOSIGNAL) != (ssize_t)length || shutdown(fd, SHUT_WR) < 0) return 1;
  char buffer[4096];
  for (ssize_t n; (n = read(fd, buffer, sizeof buffer)) > 0; answered = 1)
    if (write(1, buffer, n) != n) return 1;
  return answered ? 0 : 1;
}

int main(int argc, char **argv) {
  const char *agent = getenv("NULLSPACE_ASKPASS");
  if (agent) return ask(agent, argc > 1 ? argv[1] : "");
  // --test: privileged verbs do nothing, and helper and processes end with the client.
  dry_run = argc == 6 && strcmp(argv[5], "--test") == 0;
  if (argc < 5 || (argc == 6 && !dry_run) || argc > 6) {
    fprintf(stderr, "usage: guest-helper SOCKET ROOT STATE_FOLDER PORT_NAME [--test]\n");
    return 2;
  }
  if (dry_run) prctl(PR_SET_PDEATHSIG, SIGKILL);
  root_folder = argv[2], state_folder = argv[3];
  int server = listen_on(argv[1]);
  if (server < 0) {
    perror(argv[1]);
    return 1;
  }
  if (!dry_run) port = find_port(argv[4]);
  sigset_t mask;
  sigemptyset(&mask);
  sigaddset(&mask, SIGCHLD);
  sigprocmask(SIG_BLOCK, &mask, NULL);
  if (!dry_run && prepare_to_hold() != 0) {
    perror("real-time priority");
    return 1;
  }
  signal(SIGPIPE, SIG_IGN);
  int signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
  // The starter waits for the end of our standard output; from now on the socket is all there is.
  int null = open("/dev/null", O_RDWR);
  for (int i = 0; i < 2; i++) dup2(null, i);
  if (null > 2) close(null);

  struct input from_client = {0}, from_host = {0};
  struct pollfd *polls = NULL;
  size_t poll_room = 0;
  for (;;) {
    size_t count = what_to_poll(&polls, &poll_room, signals, server);
    if (poll(polls, count, host_is_there ? -1 : PORT_RETRY_MS) < 0) {
      if (errno != EINTR) return 1;
      continue;
    }
    // Before anything that adds or takes away children: they are in the order of what was polled.
    size_t at_poll = OWN_POLLS;
    for (struct child *c = children; c; c = c->next) {
      if (!c->terminal) continue;
      struct pollfd *p = polls + at_poll;
      at_poll += 3;
      if (p[0].revents || p[1].revents || p[2].revents) carry_terminal(c->terminal);
    }
    if (polls[0].revents) {
      struct signalfd_siginfo info;
      while (read(signals, &info, sizeof info) > 0) {}
      reap();
    }
    if (polls[4].revents) start_server();
    if (polls[3].revents & POLLIN) serve_host(&from_host);
    host_is_there = !(polls[3].revents & POLLHUP);
    if (!host_is_there) from_host.filled = 0;
    if (polls[2].revents && client >= 0) serve_client(&from_client);
    if (client < 0 && polls[2].fd >= 0 && dry_run) {
      for (struct child *c = children; c; c = c->next) kill(-c->pid, SIGKILL);
      return 0;
    }
    if (polls[1].revents) {
      int fd = accept4(server, NULL, NULL, SOCK_CLOEXEC);
      if (fd >= 0) {
        greet(fd);
        from_client.filled = 0;
      }
    }
  }
}
