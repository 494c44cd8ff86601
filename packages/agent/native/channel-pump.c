// channel-pump PORT SOCKET: makes connections to the agent out of the one byte stream of a virtio-serial port.
//
// The stream outlives both ends, so each session of a host begins with the agent's key and a nonce, which is
// answered with the nonce (see @nullspace/proto/channel). This program looks for the key in everything it
// receives: the key ends the session there is, and with the nonce that follows it begins the next, a new
// connection to SOCKET. What comes before a key, or after the end of a session, is nobody's. Node could do
// this too, but could then not hand its HTTP/2 a socket of the kernel's, and would see each byte in JavaScript.
//
// PORT is the port's name, or the path of a Unix socket to listen at, for tests and development: there hosts
// come and go as connections, and each ends the one before.
// Standard input tells the keys: 'k' and a key for the session after this one; 'w', a nonce and a key
// for the session after the one of that nonce. Before the first there is no session. Standard output is
// closed when hosts can come. The program ends with the agent.
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include "virtio-port.h"

enum {
  KEY = 32,
  NONCE = 32,
  // A beginning of the key this long is held back until it is known to be the key or not. A shorter one
  // passes: every 256th message ends with the first byte of the key, and its sender waits for an answer.
  HELD_FROM = 8,
  MOST_IN = 64 << 10,
  // More than a host lets be under way. HTTP/2 in Node reads nothing while it writes, so two
  // ends that both waited for the other to read would wait for ever.
  MOST_OUT = 4 << 20,
  // Memory that is given back once all has been written.
  KEPT_OUT = 256 << 10,
  READ_BYTES = 64 << 10,
  WRITE_BYTES = 32 << 10,
  // A port without a host for so long has lost it.
  ABSENCE_MS = 1000,
};

// What was received. The bytes before `at` have been passed on; a key may begin with the last of them.
static struct {
  size_t at, passable, end;
  size_t after_key;  // 0 while no key has been seen
  int host_is_gone;
  unsigned char bytes[KEY + MOST_IN];
} in;

static struct {
  size_t at, end;
  // Whole pages, which can be given back.
  _Alignas(4096) unsigned char bytes[MOST_OUT + READ_BYTES];
} out;

static unsigned char key[KEY], later_key[KEY], nonce[NONCE], later_nonce[NONCE];
static int has_key, has_later_key, nonce_bytes = -1;  // -1 unless a nonce is awaited
static int events, listener = -1, port = -1, agent = -1;
static const char *agent_path;

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static int would_wait(void) { return errno == EAGAIN || errno == EINTR; }

static void watch(int fd) {
  // At the edge: a port without a host would else say so for ever.
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.fd = fd};
  if (epoll_ctl(events, EPOLL_CTL_ADD, fd, &event) < 0) fail("epoll_ctl");
}

static void close_fd(int *fd) {
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

static struct sockaddr_un address_of(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  errno = ENAMETOOLONG;
  if (strlen(path) >= sizeof address.sun_path) fail(path);
  strcpy(address.sun_path, path);
  return address;
}

// --- keys -------------------------------------------------------------------

// Length of the longest end of what was received that a key may begin with.
static size_t beginning_at_end(void) {
  size_t length = in.end < KEY ? in.end : KEY - 1;
  while (length > 0 && memcmp(in.bytes + in.end - length, key, length) != 0) length--;
  return length;
}

// Says what of the received bytes may be passed on.
static void look_for_key(void) {
  // A key that ends among the bytes that have been passed on was none when they were.
  size_t from = in.at < KEY ? 0 : in.at - (KEY - 1);
  unsigned char *found = memmem(in.bytes + from, in.end - from, key, KEY);
  size_t passable = found ? (size_t)(found - in.bytes) : in.end;
  in.after_key = found ? passable + KEY : 0;
  if (!found) {
    size_t held = beginning_at_end();
    if (held >= HELD_FROM) passable -= held;
  }
  in.passable = passable > in.at ? passable : in.at;
}

static void set_key(const unsigned char *bytes) {
  memcpy(key, bytes, KEY);
  has_key = 1;
  look_for_key();
}

static void apply_later_key(void) {
  if (!has_later_key || memcmp(nonce, later_nonce, NONCE) != 0) return;
  has_later_key = 0;
  set_key(later_key);
}

static void read_from_agent(unsigned char *bytes, size_t size) {
  for (size_t at = 0; at < size;) {
    ssize_t n = read(0, bytes + at, size - at);
    if (n == 0) exit(0);
    if (n > 0) at += n;
    else if (errno != EINTR) fail("standard input");
  }
}

// Always before the port is read: the agent tells a key before the answer after which a host uses it.
static void hear_agent(void) {
  struct pollfd said = {0, POLLIN, 0};
  unsigned char kind, bytes[KEY];
  while (poll(&said, 1, has_key ? 0 : -1) > 0) {
    read_from_agent(&kind, 1);
    if (kind == 'k') {
      read_from_agent(bytes, KEY);
      set_key(bytes);
    } else {
      read_from_agent(later_nonce, NONCE);
      read_from_agent(later_key, KEY);
      has_later_key = 1;
      apply_later_key();
    }
  }
}

// --- sessions ---------------------------------------------------------------

static void drop_out(void) {
  if (out.end > KEPT_OUT && madvise(out.bytes, sizeof out.bytes, MADV_DONTNEED) < 0) fail("madvise");
  out.at = out.end = 0;
}

static void end_session(void) {
  close_fd(&agent);
  nonce_bytes = -1;
  // Is not for the next host.
  drop_out();
}

static void begin_session(void) {
  struct sockaddr_un address = address_of(agent_path);
  nonce_bytes = -1;
  memcpy(out.bytes, nonce, NONCE);
  out.end = NONCE;
  // The agent listens before it starts this program: without it there is nothing to be done here.
  agent = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (agent < 0 || connect(agent, (struct sockaddr *)&address, sizeof address) < 0) fail(agent_path);
  if (fcntl(agent, F_SETFL, O_NONBLOCK) < 0) fail("fcntl");
  watch(agent);
  apply_later_key();
}

static void take_nonce(void) {
  size_t size = in.passable - in.at, missing = NONCE - nonce_bytes;
  if (size > missing) size = missing;
  memcpy(nonce + nonce_bytes, in.bytes + in.at, size);
  in.at += size;
  nonce_bytes += size;
  if (nonce_bytes == NONCE) begin_session();
}

// Forgets the first bytes of what was received.
static void forget(size_t size) {
  memmove(in.bytes, in.bytes + size, in.end -= size);
  in.at = in.at > size ? in.at - size : 0;
  in.passable = in.at, in.after_key = 0;
}

// Passes on what may be; says whether that was all of it.
static int pass_on(void) {
  for (;;) {
    while (in.at < in.passable) {
      if (nonce_bytes >= 0) take_nonce();
      // Of a session that is over, or that never was.
      else if (agent < 0) in.at = in.passable;
      else {
        ssize_t n = send(agent, in.bytes + in.at, in.passable - in.at, MSG_NOSIGNAL);
        if (n > 0) in.at += n;
        else if (would_wait()) return 0;
        else close_fd(&agent);
      }
    }
    if (!in.after_key) break;
    forget(in.after_key);
    in.at = 0;
    end_session();
    nonce_bytes = 0;
    look_for_key();
  }
  forget(in.end - beginning_at_end());
  return 1;
}

// --- hosts ------------------------------------------------------------------

static void lose_host(void) {
  end_session();
  forget(in.end);
  in.host_is_gone = 0;
  if (listener >= 0) close_fd(&port);
}

// What the port says now, whatever is left to be read.
static int has_host(void) {
  struct pollfd there = {port, 0, 0};
  in.host_is_gone = poll(&there, 1, 0) > 0 && there.revents & POLLHUP;
  return !in.host_is_gone;
}

static void listen_at(const char *path) {
  struct sockaddr_un address = address_of(path);
  unlink(path);
  listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 8) < 0) fail(path);
  watch(listener);
}

static void meet_host(void) {
  int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) return;
  lose_host();
  port = fd;
  watch(port);
}

// Each of these carries what can be carried without waiting, and says whether that was anything.

static int from_host(void) {
  size_t before = in.at;
  if (!pass_on()) return in.at != before;
  int moved = 0;
  while (port >= 0 && in.end < sizeof in.bytes) {
    // The kernel hands out a page of a port at a time.
    ssize_t n = read(port, in.bytes + in.end, sizeof in.bytes - in.end);
    if (n < 0 && !would_wait() && listener < 0) fail("port");
    in.host_is_gone = n == 0 || (n < 0 && !would_wait());
    if (n <= 0) break;
    in.end += n, moved = 1;
  }
  look_for_key();
  // What a port says of its host comes another way than the host's bytes: this may be of the host before.
  if (pass_on() && in.host_is_gone && listener >= 0) lose_host();
  return moved;
}

static int to_host(void) {
  int moved = 0;
  if (agent >= 0 && out.end - out.at < MOST_OUT) {
    if (out.end + READ_BYTES > sizeof out.bytes) {
      memmove(out.bytes, out.bytes + out.at, out.end - out.at);
      out.end -= out.at, out.at = 0;
    }
    ssize_t n = recv(agent, out.bytes + out.end, READ_BYTES, 0);
    if (n > 0) out.end += n, moved = 1;
    // What it said last is still told.
    else if (n == 0 || !would_wait()) close_fd(&agent);
  }
  while (port >= 0 && out.at < out.end) {
    size_t size = out.end - out.at < WRITE_BYTES ? out.end - out.at : WRITE_BYTES;
    ssize_t n = write(port, out.bytes + out.at, size);
    if (n < 0 && would_wait()) return moved;
    if (n < 0 && listener < 0) fail("port");
    // A host that goes takes what it did not read with it.
    out.at = n < 0 ? out.end : out.at + n;
    moved = 1;
  }
  if (out.at == out.end) drop_out();
  return moved;
}

int main(int argc, char **argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: channel-pump PORT SOCKET\n");
    return 2;
  }
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  signal(SIGPIPE, SIG_IGN);
  agent_path = argv[2];
  if ((events = epoll_create1(EPOLL_CLOEXEC)) < 0) fail("epoll");
  watch(0);
  errno = ENOENT;
  if (argv[1][0] == '/') listen_at(argv[1]);
  else if ((port = find_port(argv[1])) < 0) fail(argv[1]);
  else watch(port);
  close(1);
  for (;;) {
    hear_agent();
    if (listener >= 0) meet_host();
    // Not `||`: both directions get their turn.
    if (from_host() | to_host()) continue;
    struct epoll_event event;
    int happened = epoll_wait(events, &event, 1, in.host_is_gone && agent >= 0 ? ABSENCE_MS : -1);
    if (happened < 0 && errno != EINTR) fail("epoll_wait");
    if (happened == 0 && !has_host()) lose_host();
  }
}
