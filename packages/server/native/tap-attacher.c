// nullspace-tap-attacher: connects the network card of a running machine to its tap.
//
// A tap is opened by a process that stands in its network namespace, as root; QEMU is neither.
// Node can do neither part: it has no setns, no ioctl, and cannot send a descriptor. So this small
// program opens the tap and hands it to QEMU over a monitor of its own, where QEMU puts it on the
// hub that the card has been on from the start: the list of devices stays the same.
//
// One process for all machines, so that no machine waits for a program to start:
//   standard input    lines "SEQ PID NAMESPACE FOLDER": QEMU's pid, a path, and QEMU's working folder
//   standard output   lines "SEQ ok", or "SEQ error STEP ERRNO"
// Each line is handled in a process of its own: a QEMU that does not answer holds up nobody else.
// It ends at the end of its input, with whoever started it.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { ANSWER_SECONDS = 10, MAX_LINE = 1 << 16 };

static const char SOCKET[] = "network.sock", TAP[] = "tap";

// What failed; for the answer.
static const char *step;

static int open_tap(const char *namespace) {
  step = "namespace";
  int ns = open(namespace, O_RDONLY | O_CLOEXEC);
  if (ns < 0 || setns(ns, CLONE_NEWNET) < 0) return -1;
  step = "tap";
  // It is there already, with its addresses and rules: only the other end is missing.
  struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
  strcpy(request.ifr_name, TAP);
  int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0) return -1;
  return fd;
}

// By a path that fits into an address, however deep the folder is; never by a link, and only to this process.
static int connect_monitor(const char *folder, pid_t pid) {
  step = "monitor";
  int directory = open(folder, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  struct stat found;
  if (directory < 0 || fstatat(directory, SOCKET, &found, AT_SYMLINK_NOFOLLOW) < 0) return -1;
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", directory, SOCKET);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0) return -1;
  struct ucred peer;
  socklen_t size = sizeof peer;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0) return -1;
  errno = EPERM;
  if (!S_ISSOCK(found.st_mode) || peer.pid != pid) return -1;
  struct timeval limit = {.tv_sec = ANSWER_SECONDS};
  if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) < 0) return -1;
  return setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) < 0 ? -1 : fd;
}

// The next line that is no event: an answer, or the greeting.
static int read_answer(int monitor) {
  static char line[MAX_LINE];
  for (;;) {
    size_t length = 0;
    while (length == 0 || line[length - 1] != '\n') {
      if (length == sizeof line - 1) return errno = EMSGSIZE, -1;
      ssize_t n = read(monitor, line + length, 1);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return n == 0 ? errno = EPIPE, -1 : -1;
      length++;
    }
    line[length] = 0;
    if (strncmp(line, "{\"timestamp\"", 12) == 0) continue;
    if (strncmp(line, "{\"error\"", 8) != 0) return 0;
    fprintf(stderr, "%s", line);
    return errno = EPROTO, -1;
  }
}

// What QEMU is told, and the step that each command is. It has the descriptor with the first byte.
static const char COMMANDS[] =
    "{\"execute\":\"qmp_capabilities\"}"
    "{\"execute\":\"getfd\",\"arguments\":{\"fdname\":\"tap\"}}"
    "{\"execute\":\"netdev_add\",\"arguments\":{\"type\":\"tap\",\"id\":\"uplink\",\"fd\":\"tap\",\"vhost\":false}}"
    "{\"execute\":\"netdev_add\",\"arguments\":"
    "{\"type\":\"hubport\",\"id\":\"uplink-port\",\"hubid\":0,\"netdev\":\"uplink\"}}";
static const char *const STEPS[] = {"greeting", "capabilities", "descriptor", "netdev", "hub"};

static int send_commands(int monitor, int fd) {
  char control[CMSG_SPACE(sizeof fd)] = {0};
  struct iovec bytes = {.iov_base = (void *)COMMANDS, .iov_len = sizeof COMMANDS - 1};
  struct msghdr message = {
      .msg_iov = &bytes, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof fd);
  memcpy(CMSG_DATA(header), &fd, sizeof fd);
  return sendmsg(monitor, &message, MSG_NOSIGNAL) == (ssize_t)bytes.iov_len ? 0 : -1;
}

static int attach(pid_t pid, const char *namespace, const char *folder) {
  int tap = open_tap(namespace);
  if (tap < 0) return -1;
  int monitor = connect_monitor(folder, pid);
  if (monitor < 0) return -1;
  step = "commands";
  // All at once: under emulation each wait for an answer is one for a turn of QEMU's main loop.
  if (send_commands(monitor, tap) < 0) return -1;
  for (size_t i = 0; i < sizeof STEPS / sizeof *STEPS; i++) {
    step = STEPS[i];
    if (read_answer(monitor) < 0) return -1;
  }
  return 0;
}

// In one write, which the answers of others cannot divide.
static void answer(const char *seq, int failed) {
  char line[256];
  int error = errno;
  int length = failed ? snprintf(line, sizeof line, "%.64s error %s %d\n", seq, step, error)
                      : snprintf(line, sizeof line, "%.64s ok\n", seq);
  if (write(STDOUT_FILENO, line, length) != length) exit(1);
}

int main(void) {
  static char line[MAX_LINE];
  // Children are not waited for.
  signal(SIGCHLD, SIG_IGN);
  while (fgets(line, sizeof line, stdin)) {
    line[strcspn(line, "\n")] = 0;
    // A folder may have spaces in its name: it comes last.
    char *rest = line, *seq = strsep(&rest, " "), *pid = strsep(&rest, " "), *namespace = strsep(&rest, " ");
    if (!namespace || !rest) return 2;
    step = "fork";
    pid_t child = fork();
    if (child < 0) answer(seq, 1);
    if (child != 0) continue;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    answer(seq, attach(atoi(pid), namespace, rest) < 0);
    _exit(0);
  }
  return 0;
}
