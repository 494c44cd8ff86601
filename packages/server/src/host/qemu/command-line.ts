import { HELPER_PORT } from "@nullspace/proto/adoption";
import { DESCRIPTORS, FIRST_LAYER } from "./descriptors.js";
import { MEMORY_PATH } from "./memory-library.js";

/** What runs guest instructions: the processor itself, or QEMU in software. */
export type Accelerator = "kvm" | "tcg";

/** What all machines of this host run on. */
export interface Platform {
  accelerator: Accelerator;
  /** A model of QEMU's, never "host": it says what the guest may have found. */
  cpuModel: string;
}

/** What a snapshot fixes for every machine that is restored from it. */
export interface Size {
  vcpus: number;
  memoryMb: number;
}

/** The part of the command line that boots a guest from its image. */
export interface Boot {
  /** Paths as seen from QEMU's working directory. */
  kernel: string;
  initrd: string;
  kernelArguments: string;
}

/** What one start of QEMU is for. */
export interface CommandLine {
  platform: Platform;
  size: Size;
  /** Shown by `ps`, without commas. */
  name: string;
  /** Tells the guest's kernel whether it is the same copy as a moment ago: new for every restore. */
  generationId: string;
  /**
   * Boots a new guest, its memory shared with the file, stopped until `cont`. When
   * absent, a guest is restored when told by `migrate-incoming`, and runs at once.
   */
  boot?: Boot;
  /** How many layers there are above the memory image, and above the image's disk. */
  layers?: { memory: number; disks: number };
}

/** Sockets in QEMU's working directory. */
export const MONITOR_SOCKET = "qmp.sock";
export const AGENT_SOCKET = "agent.sock";
export const HELPER_SOCKET = "helper.sock";
/** A monitor for `native/tap-attacher.c`, which knows it by this name. */
const NETWORK_SOCKET = "network.sock";

/** Id of the serial port that the agent listens on, in QEMU's events. */
export const AGENT_PORT_ID = "agent";

/** Id of the network card. */
export const NETWORK_CARD_ID = "network-card";

/** Node name of the image's disk, below all others. */
const ROOTFS_NODE = "rootfs";

/** Node name of the disk that a machine begins with; see {@link diskNode}. */
const FIRST_DISK_NODE = "disk-0";

/** Id of the device that the guest has its disk on. */
export const ROOT_DEVICE_ID = "root";

/** Name of the node of a machine's own disk, by its file. */
export function diskNode(file: string): string {
  return file.replace(/\.qcow2$/, "");
}

/** Device model and settings of the board; goes into the compatibility of a snapshot. */
export const MACHINE_TYPE =
  "q35,usb=off,vmport=off,smbus=off,sata=off,graphics=off,mem-merge=off,dump-guest-core=off";

/**
 * Every device of every machine, in the order of their addresses. A snapshot can
 * only be restored into the same list, so it holds what any feature may need.
 */
export const DEVICES: readonly string[] = [
  `virtio-blk-pci,id=${ROOT_DEVICE_ID},drive=${FIRST_DISK_NODE}`,
  "virtio-blk-pci,id=agent-disk,drive=agent-disk",
  "virtio-serial-pci,id=serial",
  `virtserialport,id=${AGENT_PORT_ID},bus=serial.0,chardev=agent,name=nullspace.agent`,
  `virtserialport,id=helper,bus=serial.0,chardev=helper,name=${HELPER_PORT}`,
  "virtio-rng-pci,id=random",
  "virtio-balloon-pci,id=balloon,deflate-on-oom=on",
  `virtio-net-pci,id=${NETWORK_CARD_ID},netdev=network,mac=52:54:00:6e:73:01,romfile=`,
];

/** One option of QEMU with its value. */
type Option = [name: string, value?: string];

/** The arguments of QEMU: the one place where a machine is put together. */
export function commandLine(line: CommandLine): string[] {
  const { platform, size, boot } = line;
  const fromSnapshot = boot === undefined;
  const options: Option[] = [
    ["-name", `guest=${line.name}`],
    ["-nodefaults"],
    ["-no-user-config"],
    ["-no-reboot"],
    ["-display", "none"],
    ["-msg", "timestamp=on"],
    ["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"],
    ["-accel", acceleratorArgument(platform.accelerator)],
    ["-cpu", platform.cpuModel],
    ["-machine", `${MACHINE_TYPE},memory-backend=ram`],
    ["-smp", String(size.vcpus)],
    ["-m", `${size.memoryMb}M`],
    ["-object", memoryArgument(size, fromSnapshot)],
    ["-rtc", "base=utc"],
    ...disks(line.layers ?? { memory: 0, disks: 0 }),
    ...channels(),
    // A hub with nobody else on it: the network card goes nowhere until a tap is put there.
    ["-netdev", "hubport,id=network,hubid=0"],
    ...DEVICES.map((device): Option => ["-device", device]),
    ["-device", `vmgenid,guid=${line.generationId}`],
    ...(boot === undefined ? restoreOptions() : bootOptions(boot, platform.accelerator)),
  ];
  return options.flatMap(([name, value]) => (value === undefined ? [name] : [name, value]));
}

function acceleratorArgument(accelerator: Accelerator): string {
  // Without a bound, each machine keeps up to 1 GiB of translated code.
  return accelerator === "kvm" ? "kvm" : "tcg,thread=multi,tb-size=256";
}

/** Where the kernel has an image in huge pages it maps them whole, if they lie so in memory too. */
const HUGE_PAGE = "2M";

function memoryArgument(size: Size, fromSnapshot: boolean): string {
  const share = fromSnapshot ? "off" : "on";
  const file = `mem-path=${MEMORY_PATH},share=${share},align=${HUGE_PAGE}`;
  return `memory-backend-file,id=ram,size=${size.memoryMb}M,${file}`;
}

/** A descriptor as a set of its own, which QEMU opens as {@link setPath}. */
function descriptorSet(fd: number): Option {
  return ["-add-fd", `fd=${fd},set=${fd}`];
}

function setPath(fd: number): string {
  return `/dev/fdset/${fd}`;
}

/** A disk that a capture has sealed stays open in the machine that wrote it. Who may write what is our business. */
const UNLOCKED = "off";

/** Whether a node is a disk that one of the machine's may lie over, but for the image's. */
export function isLayer(node: string): boolean {
  return /^(?:disk|layer|flat)-\d+$/.test(node);
}

/** The image's disk, the layers above it, and the machine's own on top. */
function disks(layers: { memory: number; disks: number }): Option[] {
  const options = readOnlyDisk(ROOTFS_NODE, DESCRIPTORS.rootfs, { driver: "raw" });
  let below = ROOTFS_NODE;
  for (let layer = 0; layer < layers.disks; layer++) {
    const name = `layer-${layer}`;
    const fd = FIRST_LAYER + layers.memory + layer;
    options.push(...readOnlyDisk(name, fd, { driver: "qcow2", backing: below }));
    below = name;
  }
  options.push(
    descriptorSet(DESCRIPTORS.disk),
    blockNode(ownDisk(FIRST_DISK_NODE, setPath(DESCRIPTORS.disk), below)),
    ...readOnlyDisk("agent-disk", DESCRIPTORS.agentDisk, { driver: "raw" }),
  );
  return options;
}

/** A disk that a machine writes, as QEMU's block layer describes it. */
export function ownDisk(name: string, filename: string, backing: string | null) {
  const file = { "node-name": fileNode(name), driver: "file", filename, locking: UNLOCKED };
  return { ...ownDiskOptions(name), backing, file };
}

/** The same disk as it is opened again: over another one, or for reading only. */
export function reopenedDisk(name: string, backing: string, readOnly: boolean) {
  return { ...ownDiskOptions(name), backing, file: fileNode(name), "read-only": readOnly };
}

function ownDiskOptions(name: string) {
  return {
    "node-name": name,
    driver: "qcow2",
    discard: "unmap",
    // What a running machine wrote does not outlive its memory, so a power cut ends
    // both: only a capture has to flush, and does.
    cache: { "no-flush": true },
  };
}

function fileNode(name: string): string {
  return `${name}-file`;
}

/** A disk that many were flattened to, over the image's. */
export function flatDisk(name: string, filename: string) {
  return readOnlyNode(name, filename, { driver: "qcow2", backing: ROOTFS_NODE });
}

interface DiskFormat {
  driver: "raw" | "qcow2";
  backing?: string;
}

function readOnlyDisk(name: string, fd: number, format: DiskFormat): Option[] {
  return [descriptorSet(fd), blockNode(readOnlyNode(name, setPath(fd), format))];
}

function readOnlyNode(name: string, filename: string, format: DiskFormat) {
  const file = { driver: "file", filename, "read-only": true, locking: UNLOCKED };
  return { "node-name": name, ...format, file, "read-only": true };
}

function blockNode(node: object): Option {
  return ["-blockdev", JSON.stringify(node)];
}

/** What goes in and out besides disks: three monitors, the agent's channel and the console. */
function channels(): Option[] {
  return [
    ["-chardev", `socket,id=launcher,fd=${DESCRIPTORS.monitor}`],
    ["-mon", "chardev=launcher,mode=control"],
    // For a later server, which finds this QEMU running.
    ["-chardev", `socket,id=monitor,path=${MONITOR_SOCKET},server=on,wait=off`],
    ["-mon", "chardev=monitor,mode=control"],
    ["-chardev", `socket,id=network,path=${NETWORK_SOCKET},server=on,wait=off`],
    ["-mon", "chardev=network,mode=control"],
    ["-chardev", `socket,id=agent,path=${AGENT_SOCKET},server=on,wait=off`],
    ["-chardev", `socket,id=helper,path=${HELPER_SOCKET},server=on,wait=off`],
    descriptorSet(DESCRIPTORS.console),
    ["-chardev", `file,id=console,path=${setPath(DESCRIPTORS.console)},append=on`],
    ["-serial", "chardev:console"],
  ];
}

/**
 * An emulated processor runs no instruction ahead of a check, so there is nothing for the guest's kernel
 * to protect from that; its protection (page tables of its own, above all) would have QEMU forget all
 * translations of addresses at each system call. See docs/decisions/0009-speculation-under-emulation.md.
 */
const EMULATED_KERNEL_ARGUMENTS = "mitigations=off";

function bootOptions(boot: Boot, accelerator: Accelerator): Option[] {
  const kernelArguments = ["console=ttyS0 quiet panic=-1 net.ifnames=0", boot.kernelArguments];
  if (accelerator === "tcg") kernelArguments.push(EMULATED_KERNEL_ARGUMENTS);
  return [
    ["-kernel", boot.kernel],
    ["-initrd", boot.initrd],
    ["-append", kernelArguments.join(" ").trim()],
    // Stopped until somebody listens to what the guest tells.
    ["-S"],
  ];
}

function restoreOptions(): Option[] {
  return [
    ["-incoming", "defer"],
    // The saved state has the devices alone, without the header of a migration.
    ["-global", "migration.send-configuration=off"],
  ];
}
