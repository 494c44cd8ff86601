import type { ConnectRouter, ConnectRouterOptions, HandlerContext } from "@connectrpc/connect";
import {
  AuditService,
  EventService,
  KeyService,
  MachineService,
  ProjectService,
  REQUEST_ID_HEADER,
  scopeOf,
  PreviewService,
  SnapshotService,
  SshService,
  TransferService,
} from "@nullspace/proto";
import { faultInterceptor, hoistRetryAfter, mapError } from "@nullspace/proto/fault";
import type { ControlPlane } from "../domain/control-plane.js";
import type { Caller } from "../domain/caller.js";
import type { SigningKeys } from "../domain/signing-keys.js";
import type { Machine } from "../domain/machine.js";
import type { PreviewSite } from "../domain/preview-address.js";
import type { PreviewProbe } from "../domain/preview-probe.js";
import type { PreviewTokens } from "../domain/preview-tokens.js";
import type { SshAccesses } from "../domain/ssh/accesses.js";
import type { TransferUrls } from "../domain/transfer-urls.js";
import { auditInterceptor } from "./audit-interceptor.js";
import { auditService } from "./audit-service.js";
import { setCaller } from "./caller-context.js";
import { eventService } from "./event-service.js";
import { keyService } from "./key-service.js";
import { machineService } from "./machine-service.js";
import { projectService } from "./project-service.js";
import { rpcName } from "./rpc-name.js";
import { previewService } from "./preview-service.js";
import { snapshotService } from "./snapshot-service.js";
import { sshService } from "./ssh-service.js";
import { transferService } from "./transfer-service.js";

/** Largest message that the control plane reads. */
const MAX_REQUEST_BYTES = 1 << 20;

/** What {@link apiOptions} needs. */
export interface ApiOptions {
  readonly controlPlane: ControlPlane;
  readonly transferUrls: TransferUrls;
  readonly signingKeys: SigningKeys;
  readonly previewTokens: PreviewTokens;
  readonly previewSite: PreviewSite;
  readonly previewProbe: PreviewProbe;
  readonly sshAccesses: SshAccesses;
  /** Aborted with a Fault when the server begins to stop. */
  readonly stopping: AbortSignal;
  /** Told of errors that nobody foresaw. */
  readonly onDefect: (error: unknown) => void;
}

/** The public API as a Connect router: authenticated before a request's body is read, errors mapped once. */
export function apiOptions({
  controlPlane,
  transferUrls,
  signingKeys,
  previewTokens,
  previewSite,
  previewProbe,
  sshAccesses,
  stopping,
  onDefect,
}: ApiOptions): ConnectRouterOptions & { routes: (router: ConnectRouter) => void } {
  const machinesOf = (caller: Caller) => controlPlane.machinesOf(caller);
  const snapshotsOf = (caller: Caller) => controlPlane.snapshotsOf(caller);
  return {
    readMaxBytes: MAX_REQUEST_BYTES,
    interceptors: [faultInterceptor(onDefect), auditInterceptor(controlPlane.audit)],
    async requestGate({ method, requestHeader, responseHeader, values }: HandlerContext) {
      try {
        stopping.throwIfAborted();
        const caller = await controlPlane.gate.admit({
          authorization: requestHeader.get("authorization"),
          rpc: rpcName(method),
          scope: scopeOf(method),
          requestId: requestHeader.get(REQUEST_ID_HEADER) ?? "",
        });
        setCaller(values, caller);
      } catch (error) {
        const failure = mapError(error, onDefect);
        hoistRetryAfter(failure, responseHeader);
        throw failure;
      }
    },
    routes(router) {
      const trafficTokenOf = ({ previews: { allowPublicTraffic, trafficId } }: Machine) =>
        allowPublicTraffic ? "" : previewTokens.signTraffic(trafficId);
      router.service(
        MachineService,
        machineService(machinesOf, stopping, onDefect, trafficTokenOf),
      );
      router.service(
        PreviewService,
        previewService({
          machinesOf,
          previewsOf: (caller) => controlPlane.previewsOf(caller),
          tokens: previewTokens,
          site: previewSite,
          probe: previewProbe,
        }),
      );
      router.service(SnapshotService, snapshotService(snapshotsOf));
      router.service(EventService, eventService(controlPlane.events, stopping));
      router.service(KeyService, keyService(controlPlane.keys, signingKeys));
      router.service(ProjectService, projectService(controlPlane.projects, controlPlane.quotas));
      router.service(AuditService, auditService(controlPlane.audit));
      router.service(TransferService, transferService(machinesOf, transferUrls));
      router.service(SshService, sshService(sshAccesses));
    },
  };
}
