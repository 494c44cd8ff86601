import { parseArgs } from "node:util";

/** What the command line asks for. */
export interface Arguments {
  /** A virtio-serial port of the machine the agent is in, or a Unix socket. */
  place: { kind: "port"; name: string } | { kind: "socket"; path: string };
  stateFolder: string;
  user: string;
}

export const USAGE = `usage: nullspace-agent --port-name NAME | --socket PATH
  --port-name NAME  serve the virtio-serial port of this name, as the agent of a machine
  --socket PATH     serve a Unix socket, for tests and development: the machine itself is left alone
  --state DIR       files that outlive a restart (default /run/nullspace, or PATH.state)
  --user NAME       who runs commands where a call names nobody (default user, or whoever runs this)
`;

/**
 * Parses the command line.
 *
 * @throws Error that says what is wrong with it.
 */
export function parseArguments(args: string[], self: string): Arguments {
  const { values } = parseArgs({
    args,
    options: {
      "port-name": { type: "string" },
      socket: { type: "string" },
      state: { type: "string" },
      user: { type: "string" },
    },
  });
  const { "port-name": name, socket: path, state, user } = values;
  if (name !== undefined && path === undefined) {
    const place = { kind: "port", name } as const;
    return { place, stateFolder: state ?? "/run/nullspace", user: user ?? "user" };
  }
  if (path !== undefined && name === undefined) {
    const place = { kind: "socket", path } as const;
    return { place, stateFolder: state ?? `${path}.state`, user: user ?? self };
  }
  throw new Error("give either --port-name or --socket");
}
