// attach-tap MONITOR TAP HUB CARD: makes a tap device in the network namespace it is run in, gives it
// to the QEMU of a monitor socket, on the hub that its network card hangs on, and turns the link on.
//
// The device lives as long as QEMU holds it. QEMU itself may not open /dev/net/tun.
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

static FILE *monitor;

// Reads up to the answer; events and the greeting come in between.
static void expect(const char *what) {
	char line[16384];
	while (fgets(line, sizeof line, monitor) != NULL) {
		if (strncmp(line, "{\"error\"", 8) == 0) errx(1, "%s: %s", what, line);
		if (strncmp(line, "{\"return\"", 9) == 0) return;
	}
	errx(1, "%s: the monitor has closed", what);
}

static void execute(const char *what, const char *command, int descriptor) {
	struct iovec text = {(void *)command, strlen(command)};
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct msghdr message = {.msg_iov = &text, .msg_iovlen = 1};
	if (descriptor >= 0) {
		control.header = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
		memcpy(CMSG_DATA(&control.header), &descriptor, sizeof descriptor);
		message.msg_control = control.room;
		message.msg_controllen = sizeof control.room;
	}
	if (sendmsg(fileno(monitor), &message, 0) != (ssize_t)text.iov_len) err(1, "%s", what);
	expect(what);
}

int main(int argc, char **argv) {
	if (argc != 5) errx(2, "usage: attach-tap MONITOR TAP HUB CARD");
	const char *path = argv[1], *tap = argv[2], *hub = argv[3], *card = argv[4];

	int device = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (device < 0) err(1, "/dev/net/tun");
	struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
	if (strlen(tap) >= IFNAMSIZ) errx(2, "%s is too long", tap);
	strcpy(request.ifr_name, tap);
	if (ioctl(device, TUNSETIFF, &request) < 0) err(1, "%s", tap);

	struct sockaddr_un address = {.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof address.sun_path) errx(2, "%s is too long", path);
	strcpy(address.sun_path, path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0) err(1, "%s", path);
	monitor = fdopen(fd, "r");

	char command[512];
	execute("qmp_capabilities", "{\"execute\":\"qmp_capabilities\"}\n", -1);
	execute("getfd", "{\"execute\":\"getfd\",\"arguments\":{\"fdname\":\"bench-tap\"}}\n", device);
	execute("netdev_add tap",
	        "{\"execute\":\"netdev_add\",\"arguments\":"
	        "{\"type\":\"tap\",\"id\":\"bench-tap\",\"fd\":\"bench-tap\"}}\n",
	        -1);
	snprintf(command, sizeof command,
	         "{\"execute\":\"netdev_add\",\"arguments\":"
	         "{\"type\":\"hubport\",\"id\":\"bench-hub\",\"hubid\":%s,\"netdev\":\"bench-tap\"}}\n",
	         hub);
	execute("netdev_add hubport", command, -1);
	snprintf(command, sizeof command,
	         "{\"execute\":\"set_link\",\"arguments\":{\"name\":\"%s\",\"up\":true}}\n", card);
	execute("set_link", command, -1);
	return 0;
}
