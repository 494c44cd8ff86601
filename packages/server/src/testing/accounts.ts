import { createClient, type Transport } from "@connectrpc/connect";
import { KeyService, ProjectService, type Scope } from "@nullspace/proto";
import { type TestServer, transportTo } from "./server.js";

/** A transport with a key of its own. */
export interface Account {
  readonly keyId: string;
  readonly secret: string;
  readonly transport: Transport;
}

/** Makes a project with a key for all of it. */
export async function addProject(
  server: TestServer,
  id: string,
  limits: Record<string, number> = {},
): Promise<Account> {
  const operator = transportTo(server.url, "Connect over HTTP/2", server.apiKey);
  await createClient(ProjectService, operator).create({ id, limits });
  return addKey(server, id, []);
}

/** Makes a key. */
export async function addKey(
  server: TestServer,
  project: string,
  scopes: readonly Scope[],
  maker: string = server.apiKey,
): Promise<Account> {
  const keys = createClient(KeyService, transportTo(server.url, "Connect over HTTP/2", maker));
  const { key, secret } = await keys.create({ name: "test", project, scopes: [...scopes] });
  const transport = transportTo(server.url, "Connect over HTTP/2", secret);
  return { keyId: key?.id ?? "", secret, transport };
}
