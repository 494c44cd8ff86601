import {
  createRootRoute,
  createRoute,
  createRouter,
  lazyRouteComponent,
  Outlet,
  redirect,
} from "@tanstack/react-router";
import { Broken } from "./broken";
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

/** One machine. What is in it is loaded when it is first looked at. */
const machine = createRoute({
  getParentRoute: () => signedIn,
  path: "/machines/$id",
  component: lazyRouteComponent(() => import("./machine/machine-page"), "MachinePage"),
});

/** What only a machine that runs has. */
const running = createRoute({
  getParentRoute: () => machine,
  id: "running",
  component: lazyRouteComponent(() => import("./machine/while-running"), "WhileRunning"),
});

const terminal = createRoute({
  getParentRoute: () => running,
  path: "/",
  component: lazyRouteComponent(() => import("./machine/terminal/terminal-page"), "TerminalPage"),
});

const files = createRoute({
  getParentRoute: () => running,
  path: "/files",
  validateSearch: (search): { folder?: string; file?: string } => ({
    ...(typeof search.folder === "string" && { folder: search.folder }),
    ...(typeof search.file === "string" && { file: search.file }),
  }),
  component: lazyRouteComponent(() => import("./machine/files/files-page"), "FilesPage"),
});

const processes = createRoute({
  getParentRoute: () => running,
  path: "/processes",
  component: lazyRouteComponent(
    () => import("./machine/processes/processes-page"),
    "ProcessesPage",
  ),
});

const details = createRoute({
  getParentRoute: () => machine,
  path: "/details",
  component: lazyRouteComponent(() => import("./machine/details/details-page"), "DetailsPage"),
});

const inside = machine.addChildren([running.addChildren([terminal, files, processes]), details]);

export const router = createRouter({
  routeTree: root.addChildren([login, signedIn.addChildren([machines, inside, snapshots, events])]),
  basepath: "/console",
  defaultErrorComponent: Broken,
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
