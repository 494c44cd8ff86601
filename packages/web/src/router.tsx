import {
  createRootRoute,
  createRoute,
  createRouter,
  Outlet,
  redirect,
} from "@tanstack/react-router";
import { EventsPage } from "./events/events-page";
import { Layout } from "./layout";
import { MachinesPage } from "./machines/machines-page";
import { NotFound } from "./not-found";
import { LoginPage } from "./session/login-page";
import { readKey } from "./session/session";
import { SnapshotsPage } from "./snapshots/snapshots-page";

const root = createRootRoute({ component: Outlet, notFoundComponent: NotFound });

const login = createRoute({ getParentRoute: () => root, path: "/login", component: LoginPage });

/** Every page that needs a key. */
const signedIn = createRoute({
  getParentRoute: () => root,
  id: "signed-in",
  beforeLoad: () => {
    if (readKey() === undefined) throw redirect({ to: "/login" });
  },
  component: Layout,
});

const machines = createRoute({
  getParentRoute: () => signedIn,
  path: "/",
  component: MachinesPage,
});

const snapshots = createRoute({
  getParentRoute: () => signedIn,
  path: "/snapshots",
  component: SnapshotsPage,
});

const events = createRoute({
  getParentRoute: () => signedIn,
  path: "/events",
  component: EventsPage,
});

export const router = createRouter({
  routeTree: root.addChildren([login, signedIn.addChildren([machines, snapshots, events])]),
  basepath: "/console",
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
