import { createClient } from "@connectrpc/connect";
import { useTransport } from "@connectrpc/connect-query";
import { MachineService } from "@nullspace/proto";
import { useMemo, useSyncExternalStore } from "react";
import { useSignOut } from "../session/sign-out";
import { type FeedSnapshot, MachineFeed } from "./machine-feed";

/** The machines of the account, live. */
export function useMachines(): FeedSnapshot {
  const transport = useTransport();
  const signOut = useSignOut();
  const feed = useMemo(
    () => new MachineFeed(createClient(MachineService, transport), signOut),
    [transport, signOut],
  );
  return useSyncExternalStore(feed.subscribe, feed.snapshot);
}
