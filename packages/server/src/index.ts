/**
 * The Nullspace server as a library: {@link startServer} with a {@link QemuHost}
 * is what `nullspace-server` runs.
 *
 * @module
 */
export { QemuHost, type QemuHostOptions } from "./host/qemu-host.js";
export { type Host, type Server, type ServerOptions, startServer } from "./server.js";
export { StartError } from "./start-error.js";
