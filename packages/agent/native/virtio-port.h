// Finds a virtio-serial port by the name that the host gave it.
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

// Gives its descriptor, which does not block; -1 when there is no such port.
static int find_port(const char *name) {
  DIR *ports = opendir("/sys/class/virtio-ports");
  if (!ports) return -1;
  int fd = -1;
  for (struct dirent *entry; fd < 0 && (entry = readdir(ports));) {
    char path[512], found[128] = "";
    snprintf(path, sizeof path, "/sys/class/virtio-ports/%s/name", entry->d_name);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) continue;
    ssize_t size = read(file, found, sizeof found - 1);
    close(file);
    if (size <= 0 || strncmp(found, name, strlen(name)) != 0 || found[strlen(name)] != '\n') continue;
    snprintf(path, sizeof path, "/dev/%s", entry->d_name);
    fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
  }
  closedir(ports);
  return fd;
}
