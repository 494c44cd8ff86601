/**
 * The agent as a library, for tests that need one without a machine around it:
 * open a {@link SocketPort} and hand it to {@link runAgent} with `sandboxed`.
 *
 * ```ts
 * await using port = await SocketPort.listen("/tmp/agent.sock");
 * const stop = new AbortController();
 * const running = runAgent(
 *   { port, stateFolder: "/tmp/agent.state", helperProgram: helperProgram(),
 *     defaultUser: userInfo().username, sandboxed: true, onDefect: console.error },
 *   stop.signal,
 * );
 * ```
 *
 * @module
 */
export { type AgentOptions, runAgent } from "./agent.js";
export type { Port } from "./channel/port.js";
export { SocketPort } from "./channel/socket-port.js";
export { helperProgram } from "./helper/program.js";
