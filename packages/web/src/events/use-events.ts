import { createClient } from "@connectrpc/connect";
import { useTransport } from "@connectrpc/connect-query";
import { EventService } from "@nullspace/proto";
import { useMemo, useSyncExternalStore } from "react";
import { useSignOut } from "../session/sign-out";
import { EventFeed, type EventSnapshot } from "./event-feed";

/** The newest events of the account, or of one machine, live. */
export function useEvents(machineId = ""): EventSnapshot {
  const transport = useTransport();
  const signOut = useSignOut();
  const feed = useMemo(
    () => new EventFeed(createClient(EventService, transport), machineId, signOut),
    [transport, machineId, signOut],
  );
  return useSyncExternalStore(feed.subscribe, feed.snapshot);
}
