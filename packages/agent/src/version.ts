/** As in package.json; the bundle carries it, and only the bundle runs in machines. */
export const AGENT_VERSION = process.env["NULLSPACE_AGENT_VERSION"] ?? "0.0.0-development";
