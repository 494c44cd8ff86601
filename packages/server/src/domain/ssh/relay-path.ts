const PREFIX = "/v1/ssh/";
const PATH = /^\/v1\/ssh\/([a-z0-9]{1,64})$/;

/** Where the WebSocket of a machine's SSH relay is. */
export function sshRelayPath(machineId: string): string {
  return `${PREFIX}${machineId}`;
}

/** The machine that a path is the SSH relay of; `undefined` for any other path. */
export function machineInSshRelayPath(path: string): string | undefined {
  return PATH.exec(path)?.[1];
}
