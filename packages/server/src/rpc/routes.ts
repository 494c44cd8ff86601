import type { ConnectRouter, ConnectRouterOptions, HandlerContext } from "@connectrpc/connect";
import {
  EventService,
  KeyService,
  MachineService,
  PreviewService,
  SnapshotService,
  TransferService,
} from "@nullspace/proto";
import { faultInterceptor, mapError } from "@nullspace/proto/fault";
import type { ControlPlane } from "../domain/control-plane.js";
import type { Machine } from "../domain/machine.js";
import type { PreviewSite } from "../domain/preview-address.js";
import type { PreviewProbe } from "../domain/preview-probe.js";
import type { PreviewTokens } from "../domain/preview-tokens.js";
import type { TransferUrls } from "../domain/transfer-urls.js";
import { eventService } from "./event-service.js";
import { keyService } from "./key-service.js";
import { machineService } from "./machine-service.js";
import { previewService } from "./preview-service.js";
import { snapshotService } from "./snapshot-service.js";
import { transferService } from "./transfer-service.js";

/** Largest message that the control plane reads. */
const MAX_REQUEST_BYTES = 1 << 20;

/** What {@link apiOptions} needs. */
export interface ApiOptions {
  readonly controlPlane: ControlPlane;
  readonly transferUrls: TransferUrls;
  readonly previewTokens: PreviewTokens;
  readonly previewSite: PreviewSite;
  readonly previewProbe: PreviewProbe;
  /** Aborted with a Fault when the server begins to stop. */
  readonly stopping: AbortSignal;
  /** Told of errors that nobody foresaw. */
  readonly onDefect: (error: unknown) => void;
}

/** The public API as a Connect router: authenticated before a request's body is read, errors mapped once. */
export function apiOptions({
  controlPlane,
  transferUrls,
  previewTokens,
  previewSite,
  previewProbe,
  stopping,
  onDefect,
}: ApiOptions): ConnectRouterOptions & { routes: (router: ConnectRouter) => void } {
  return {
    readMaxBytes: MAX_REQUEST_BYTES,
    interceptors: [faultInterceptor(onDefect)],
    async requestGate({ requestHeader }: HandlerContext) {
      try {
        stopping.throwIfAborted();
        await controlPlane.keys.authenticate(requestHeader.get("authorization"));
      } catch (error) {
        throw mapError(error, onDefect);
      }
    },
    routes(router) {
      const trafficTokenOf = ({ previews: { allowPublicTraffic, trafficId } }: Machine) =>
        allowPublicTraffic ? "" : previewTokens.signTraffic(trafficId);
      router.service(
        MachineService,
        machineService(controlPlane.machines, stopping, onDefect, trafficTokenOf),
      );
      router.service(
        PreviewService,
        previewService({
          machines: controlPlane.machines,
          previews: controlPlane.previews,
          tokens: previewTokens,
          site: previewSite,
          probe: previewProbe,
        }),
      );
      router.service(SnapshotService, snapshotService(controlPlane.snapshots));
      router.service(EventService, eventService(controlPlane.events, stopping));
      router.service(KeyService, keyService(controlPlane.keys));
      router.service(TransferService, transferService(controlPlane.machines, transferUrls));
    },
  };
}
