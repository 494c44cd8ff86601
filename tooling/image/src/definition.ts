/**
 * What the image is made of. Everything here is an input of a digest: a change
 * rebuilds exactly the stages that use it.
 */

/** The template that this image is booted for. */
export const TEMPLATE_NAME = "base";
export const TEMPLATE_TAG = "latest";

/** Size of a machine whose creator does not ask for another. */
export const DEFAULT_VCPUS = 2;
export const DEFAULT_MEMORY_MB = 1024;

/** Size of the root file system in MiB; the file is sparse. */
export const DISK_MB = 2048;

/** Version of the channel and of what the host asks of the agent. */
export const AGENT_PROTOCOL = 1;

export const DEBIAN_SUITE = "bookworm";

/**
 * The generic kernel: Debian's cloud kernel is smaller but has no 9p, which
 * shared volumes need.
 */
export const PLATFORM_PACKAGES = [
  "linux-image-amd64",
  "busybox-static",
  "tini",
  "patchelf",
  "libc6",
  "libgcc-s1",
  "libstdc++6",
] as const;

/** What users find in the template `base`, beyond Debian's essential packages and apt. */
export const ROOT_PACKAGES = [
  "bash",
  "ca-certificates",
  "coreutils",
  "curl",
  "file",
  "git",
  "htop",
  "iproute2",
  "iputils-ping",
  "kmod",
  "less",
  // A renamed machine resolves its own name without an entry in /etc/hosts: sudo asks for it.
  "libnss-myhostname",
  "nano",
  "netbase",
  "openssh-server",
  "procps",
  "python3",
  "ripgrep",
  "rsync",
  "sudo",
  "tmux",
  "unzip",
  "vim",
  "xz-utils",
] as const;

/**
 * Appended to the kernel's command line.
 *
 * Mitigations stay at the kernel's default. A machine is one tenant whose user
 * has root, so they guard little, but they are not what makes a boot slow, and
 * software that users run inside (browsers, for one) relies on them.
 */
export const KERNEL_ARGUMENTS = [
  // No wait for entropy at the first boot; every adoption reseeds anyway.
  "random.trust_cpu=on",
  // A stopped and restored machine's TSC goes on where it was. The watchdog that compares clocks
  // must not take a busy host for a broken TSC and fall back to one that traps on every read.
  "tsc=reliable",
  // The same for the timer check at boot, which panics when emulation is slow.
  "no_timer_check",
  // No timers that wake an idle machine to see whether it still lives: the host knows.
  "nowatchdog",
  // Whole huge pages copied on a small write would make every fork carry megabytes it never used.
  "transparent_hugepage=madvise",
  // Devices that no machine has.
  "i8042.noaux",
  "i8042.nokbd",
  "8250.nr_uarts=1",
  // Self-tests of Debian's own drivers take a noticeable part of a boot.
  "cryptomgr.notests",
  // Nothing reads an audit log, and it costs on every system call.
  "audit=0",
] as const;

/** Loaded by the initramfs; what they depend on is added. */
export const BOOT_MODULES = [
  // ext4 asks for it by the name of an algorithm, which only modprobe could resolve.
  "crc32c_generic",
  "virtio_pci",
  "virtio_blk",
  "virtio_console",
  "virtio-rng",
  "virtio_balloon",
  "virtio_net",
  "ext4",
  "squashfs",
] as const;

/**
 * Modules on the agent disk, as prefixes of paths below the kernel's folder:
 * what software inside a virtual machine can need, no drivers of hardware.
 */
export const GUEST_MODULES = [
  "arch/x86/crypto/",
  "block/",
  "crypto/",
  "drivers/block/brd",
  "drivers/block/loop",
  "drivers/block/nbd",
  "drivers/block/virtio_blk",
  "drivers/block/zram/",
  "drivers/char/hw_random/virtio-rng",
  "drivers/char/virtio_console",
  "drivers/md/",
  "drivers/net/bonding/",
  "drivers/net/dummy",
  "drivers/net/geneve",
  "drivers/net/ifb",
  "drivers/net/ipvlan/",
  "drivers/net/macvlan",
  "drivers/net/macvtap",
  "drivers/net/tap",
  "drivers/net/tun",
  "drivers/net/veth",
  "drivers/net/virtio_net",
  "drivers/net/vrf",
  "drivers/net/vxlan/",
  "drivers/net/wireguard/",
  "drivers/virtio/",
  "fs/9p/",
  "fs/autofs/",
  "fs/binfmt_misc",
  "fs/btrfs/",
  "fs/configfs/",
  "fs/exfat/",
  "fs/ext4/",
  "fs/fat/",
  "fs/fuse/",
  "fs/isofs/",
  "fs/nls/",
  "fs/overlayfs/",
  "fs/quota/",
  "fs/squashfs/",
  "fs/udf/",
  "fs/xfs/",
  "lib/",
  "net/802/",
  "net/8021q/",
  "net/9p/9pnet.ko",
  "net/9p/9pnet_fd",
  "net/9p/9pnet_virtio",
  "net/bridge/",
  "net/core/",
  "net/ipv4/",
  "net/ipv6/",
  "net/key/",
  "net/llc/",
  "net/netfilter/",
  "net/packet/",
  "net/sched/",
  "net/tls/",
  "net/unix/",
  "net/vmw_vsock/vsock",
  "net/vmw_vsock/vmw_vsock_virtio",
  "net/xfrm/",
] as const;
