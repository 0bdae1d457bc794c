/**
 * The views beside the chat, each loaded when one goes there. To add one: a module with a component as its default
 * export, one line here, and `go("name")` or `link("name")` where one gets to it.
 *
 * `place` is where it stands: "page" takes the place of the chat, "beside" stands at the right of it.
 */

import { lazy, type ComponentType, type LazyExoticComponent } from "react";

export interface ViewProps {
  /** What follows the view's name in the address. */
  rest: string[];
}

export interface View {
  title: string;
  place: "page" | "beside";
  component: LazyExoticComponent<ComponentType<ViewProps>>;
}

export const views: Record<string, View> = {
  tree: { title: "Tree", place: "beside", component: lazy(() => import("./tree")) },
  compare: { title: "Compare branches", place: "page", component: lazy(() => import("./compare")) },
  collections: { title: "Collections", place: "page", component: lazy(() => import("./collections")) },
  settings: { title: "Settings", place: "page", component: lazy(() => import("./settings")) },
  admin: { title: "Administration", place: "page", component: lazy(() => import("./admin")) },
  search: { title: "Search", place: "page", component: lazy(() => import("./search")) },
  keyboard: { title: "Keyboard", place: "page", component: lazy(() => import("./keyboard")) },
};
