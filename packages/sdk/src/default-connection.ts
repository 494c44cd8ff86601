import { type ConnectionOptions, resolveConfiguration } from "./configuration.js";
import { Connection } from "./connection.js";

/**
 * Connections that the static methods share, by server and key. An idle one
 * keeps no program running, so none is ever closed.
 */
const connections = new Map<string, Connection>();

/** The connection for the server and key of `options` or of the environment, as it is now. */
export function defaultConnection(options: ConnectionOptions): Connection {
  const configuration = resolveConfiguration(options);
  const name = JSON.stringify([configuration.url, configuration.apiKey]);
  const known = connections.get(name);
  if (known !== undefined) return known;
  const connection = new Connection(configuration);
  connections.set(name, connection);
  return connection;
}
