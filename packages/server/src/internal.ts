/**
 * Not part of the library: what the project's own measurements are made with. All of it changes
 * without notice.
 *
 * @module
 */
export { agentTransport } from "./channel/agent-transport.js";
export type { NewMachine } from "./domain/machine-store.js";
export { newMachineId } from "./domain/random.js";
export { TRANSITIONS } from "./domain/transitions.js";
export { openTunnel } from "./edge/tunnel/port-tunnel.js";
export * from "./host/parts.js";
export { openDatabase } from "./store/database.js";
export { SqlMachineStore } from "./store/machines.js";
