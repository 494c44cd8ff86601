// channel-pump PORT SOCKET: carries bytes between a virtio-serial port and the agent.
//
// Node can only read such a port by a blocking call on its thread pool, a page at a time: under
// emulation each costs half a millisecond. From a socket it reads 64 KiB at once, when there is
// something. Nothing is looked at here; what the bytes mean, and where sessions begin, knows the agent.
//
// PORT is the port's name, or for tests the path of a socket. Each connection to SOCKET stands for
// one host: it is made when bytes of one arrive and closed when that host is gone. When the agent
// closes it, or ends, this program ends too, and with it the guest's side of the port: the host is told.
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include "virtio-port.h"

// More of one direction is never held; then its sender waits.
enum { HELD = 64 << 10, MOST_WRITTEN = 32 << 10 };

struct flow {
  size_t at, end;
  char bytes[HELD];
};

static struct flow in, out;
static int events, port, agent = -1;
static const char *agent_path;

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static int is_over(ssize_t n) { return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR); }

static void watch(int operation, int fd, uint32_t what) {
  // At the edge: a port without a host would else say so for ever.
  struct epoll_event event = {.events = what | EPOLLET, .data.fd = fd};
  if (epoll_ctl(events, operation, fd, &event) < 0) fail("epoll_ctl");
}

static int connect_to(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) return -1;
  strcpy(address.sun_path, path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0) return -1;
  return fd;
}

static void meet_host(void) {
  if (agent >= 0) return;
  // The agent listens before it starts this program: without it there is nothing to be done here.
  if ((agent = connect_to(agent_path)) < 0) fail(agent_path);
  watch(EPOLL_CTL_ADD, agent, EPOLLIN | EPOLLOUT);
}

static void leave_host(void) {
  if (agent >= 0) close(agent);
  agent = -1;
  // What it was still to be told is not for the next one.
  out.at = out.end = 0;
}

// Each of these carries what can be carried without waiting, and says whether that was anything.

static int from_host(void) {
  static int host_is_gone;
  int moved = 0;
  if (in.at == in.end) {
    in.at = in.end = 0;
    // The kernel hands out a page at a time.
    while (in.end < HELD) {
      ssize_t n = read(port, in.bytes + in.end, HELD - in.end);
      if (n < 0 && (errno == EAGAIN || errno == EINTR)) break;
      if (n < 0) fail("port");
      if (n == 0) {
        host_is_gone = 1;
        break;
      }
      in.end += n;
    }
    if (in.end > 0) meet_host(), moved = 1;
  }
  while (in.at < in.end) {
    ssize_t n = send(agent, in.bytes + in.at, in.end - in.at, MSG_NOSIGNAL);
    if (n <= 0) {
      if (is_over(n)) exit(0);
      return moved;
    }
    in.at += n;
    moved = 1;
  }
  if (host_is_gone) leave_host(), host_is_gone = 0;
  return moved;
}

static int to_host(void) {
  if (agent < 0) return 0;
  int moved = 0;
  if (out.at == out.end) {
    ssize_t n = recv(agent, out.bytes, HELD, 0);
    if (is_over(n)) exit(0);
    out.at = 0;
    out.end = n > 0 ? n : 0;
    moved = n > 0;
  }
  while (out.at < out.end) {
    size_t size = out.end - out.at < MOST_WRITTEN ? out.end - out.at : MOST_WRITTEN;
    ssize_t n = write(port, out.bytes + out.at, size);
    if (n < 0 && errno != EAGAIN && errno != EINTR) fail("port");
    if (n <= 0) break;
    out.at += n;
    moved = 1;
  }
  return moved;
}

int main(int argc, char **argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: channel-pump PORT SOCKET\n");
    return 2;
  }
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  agent_path = argv[2];
  errno = ENOENT;
  if ((port = argv[1][0] == '/' ? connect_to(argv[1]) : find_port(argv[1])) < 0) fail(argv[1]);
  if ((events = epoll_create1(EPOLL_CLOEXEC)) < 0) fail("epoll");
  watch(EPOLL_CTL_ADD, port, EPOLLIN | EPOLLOUT);
  for (;;) {
    // Not `||`: both directions get their turn.
    if (from_host() | to_host()) continue;
    struct epoll_event event;
    if (epoll_wait(events, &event, 1, -1) < 0 && errno != EINTR) fail("epoll_wait");
  }
}
