/**
 * Parts of the host, for measurements that need a QEMU or an agent without a server around it.
 *
 * @module
 */
export { HelperPort } from "./agent/helper-port.js";
export { type AgentLink, linkAgent } from "./agent/agent-link.js";
export { systemClient } from "./agent/system-client.js";
export { HostHome } from "./home.js";
export { ImageStore } from "./image-store.js";
export {
  type Accelerator,
  AGENT_SOCKET,
  commandLine,
  HELPER_SOCKET,
  MONITOR_SOCKET,
  NETWORK_CARD_ID,
} from "./qemu/command-line.js";
export { findMemory } from "./memory/guest-mapping.js";
export { encodeTable } from "./memory/memory-map.js";
export { PageCopier } from "./memory/page-copier.js";
export { saveDevices } from "./qemu/device-state.js";
export { QmpClient } from "./qemu/qmp/qmp-client.js";
export { RESTORE_URI } from "./qemu/descriptors.js";
export { launch } from "./qemu/launch.js";
export { memoryLibrary } from "./qemu/memory-library.js";
export { emptyOverlay } from "./qemu/qcow2-overlay.js";
export { findQemu, type QemuBinary } from "./qemu/qemu-binary.js";
export { RunningQemu } from "./qemu/running-qemu.js";
export { SnapshotStore } from "./snapshot-store.js";
export { connectUnix } from "./unix-socket.js";
export { VerifiedFiles } from "./verified-files.js";
