import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import {
  EDGE_TOKEN_PARAMETER,
  ErrorReason,
  PREVIEW_TRANSPORT_PARAMETER,
  type PreviewService,
} from "@nullspace/proto";
import type { Caller } from "../domain/caller.js";
import {
  previewHost,
  previewOrigin,
  type PreviewSite,
  previewWebsocketOrigin,
} from "../domain/preview-address.js";
import type { PreviewPass, PreviewTransport } from "../domain/preview-grant.js";
import type { PreviewProbe } from "../domain/preview-probe.js";
import type { PreviewTokens } from "../domain/preview-tokens.js";
import { waitForService } from "../domain/preview-waiting.js";
import type { ProjectMachines } from "../domain/project-machines.js";
import type { ProjectPreviews } from "../domain/project-previews.js";
import { callerOf } from "./caller-context.js";
import { fromKindNumber, fromTransportNumber, toGrantMessage } from "./preview-message.js";

/** What {@link previewService} needs. */
export interface PreviewServiceOptions {
  readonly machinesOf: (caller: Caller) => ProjectMachines;
  readonly previewsOf: (caller: Caller) => ProjectPreviews;
  readonly tokens: PreviewTokens;
  readonly site: PreviewSite;
  readonly probe: PreviewProbe;
}

/** PreviewService over the domain. */
export function previewService(options: PreviewServiceOptions): ServiceImpl<typeof PreviewService> {
  const { machinesOf, previewsOf, tokens, site, probe } = options;
  const of = ({ values }: HandlerContext) => previewsOf(callerOf(values));
  return {
    async create({ machineId, port, expiresInSeconds, kind, transports }, context) {
      const { pass, machine } = await of(context).create({
        machineId,
        port,
        expiresInSeconds,
        kind: fromKindNumber(kind),
        transports: transports.map(fromTransportNumber),
      });
      const tokenFor = (transport: PreviewTransport) =>
        pass.transports.includes(transport) ? tokens.sign(pass.kind, transport, pass) : "";
      const [httpToken, websocketToken] = [tokenFor("http"), tokenFor("websocket")];
      return {
        grant: toGrantMessage(pass),
        httpUrl: urlOf(previewOrigin(site, pass), pass, httpToken),
        websocketUrl: urlOf(previewWebsocketOrigin(site, pass), pass, websocketToken),
        ...(pass.kind === "proxy" && { httpToken, websocketToken }),
        trafficAccessRequired: !machine.previews.allowPublicTraffic,
      };
    },

    async getAddress(place, context) {
      const machine = await of(context).find(place);
      return {
        host: previewHost(site, place),
        httpUrl: `${previewOrigin(site, place)}/`,
        websocketUrl: `${previewWebsocketOrigin(site, place)}/`,
        trafficAccessRequired: !machine.previews.allowPublicTraffic,
      };
    },

    async list(query, context) {
      const { items, nextCursor } = await of(context).list(query);
      return { grants: items.map(toGrantMessage), nextCursor };
    },

    async revoke({ id }, context) {
      return { grant: toGrantMessage(await of(context).revoke(id)) };
    },

    async wait({ machineId, port, path, timeoutMs }, { signal, values }) {
      const machines = machinesOf(callerOf(values));
      const host = previewHost(site, { machineId, port });
      const request = { machineId, port, path, timeoutMs, host };
      const { failure, ...readiness } = await waitForService({ machines, probe }, request, signal);
      return {
        ...readiness,
        ...(failure && {
          code: ErrorReason[failure.reason],
          message: failure.message,
          remedy: failure.remedy,
        }),
      };
    },
  };
}

function urlOf(origin: string, { kind }: PreviewPass, token: string): string {
  if (token === "") return "";
  const [name, value] =
    kind === "url" ? [EDGE_TOKEN_PARAMETER, token] : [PREVIEW_TRANSPORT_PARAMETER, "header"];
  return `${origin}/?${name}=${value}`;
}
