/**
 * The agent as a library, for tests that need one without a machine around it:
 * open a {@link Channel} and hand it to {@link runAgent} with `sandboxed`.
 *
 * ```ts
 * const folder = "/tmp/agent.channel";
 * await using channel = await Channel.open({ program: channelProgram(), port: "/tmp/agent.sock", folder });
 * const stop = new AbortController();
 * const running = runAgent(
 *   { channel, stateFolder: "/tmp/agent.state", helperProgram: helperProgram(),
 *     defaultUser: userInfo().username, sandboxed: true, onDefect: console.error },
 *   stop.signal,
 * );
 * ```
 *
 * @module
 */
export { type AgentOptions, runAgent } from "./agent.js";
export { Channel, type ChannelPlace } from "./channel/channel.js";
export { channelProgram, helperProgram } from "./helper/program.js";
