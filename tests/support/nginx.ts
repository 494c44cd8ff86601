import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { PreviewProxyTarget } from "@nullspace/sdk";
import { until } from "./until.js";

/** Debian's nginx before the server. */
export interface Nginx extends AsyncDisposable {
  readonly url: string;
}

/** What is particular to what nginx stands before. */
export interface NginxSettings {
  /** Besides that of `Connection`. */
  readonly maps: string;
  /** Of the one location. */
  readonly location: string;
}

/** Before a preview, as docs/previews.md sets it up. */
export function beforePreview(target: PreviewProxyTarget): NginxSettings {
  const { websocketToken, httpToken, tokenHeaderName } = target;
  return {
    maps: `map $http_upgrade $preview_token { default "${websocketToken}"; "" "${httpToken}"; }`,
    location: `proxy_set_header Host ${new URL(target.httpUrl ?? "").host};
      proxy_set_header ${tokenHeaderName} $preview_token;
      proxy_set_header X-Forwarded-Host app.example;
      proxy_set_header X-Forwarded-Proto https;
      proxy_set_header X-Forwarded-For $remote_addr;`,
  };
}

/** Before the relay of SSH, as docs/ssh.md sets it up, with less patience than nginx has. */
export const BEFORE_SSH: NginxSettings = {
  maps: "",
  location: "proxy_read_timeout 30s; proxy_send_timeout 30s;",
};

/** Starts nginx in the foreground. */
export async function startNginx(
  serverUrl: string,
  { maps, location }: NginxSettings,
): Promise<Nginx> {
  const folder = await mkdtemp(join(tmpdir(), "nullspace-nginx-"));
  const port = await freePort();
  await writeFile(
    join(folder, "nginx.conf"),
    `daemon off;
worker_processes 1;
pid ${folder}/pid;
error_log stderr;
events {}
http {
  access_log off;
  ${["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${folder}/${name};`).join("\n  ")}
  map $http_upgrade $connection_upgrade { default upgrade; "" close; }
  ${maps}
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass ${serverUrl};
      ${location}
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
    }
  }
}
`,
  );
  const child = spawn("nginx", ["-c", join(folder, "nginx.conf"), "-p", folder], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  await until("nginx to listen", async () => {
    if (child.exitCode !== null) throw new Error(`nginx ended with ${child.exitCode}`);
    return takesConnections(port);
  });
  return {
    url: `http://127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      const exited = once(child, "exit");
      child.kill("SIGTERM");
      await exited;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function freePort(): Promise<number> {
  const probe = createServer();
  probe.listen(0, "127.0.0.1");
  await once(probe, "listening");
  const place = probe.address();
  probe.close();
  await once(probe, "close");
  if (place === null || typeof place === "string") throw new Error("no port");
  return place.port;
}

async function takesConnections(port: number): Promise<boolean> {
  const socket = connect(port, "127.0.0.1");
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
