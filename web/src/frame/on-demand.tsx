import { useEffect, useState, type ComponentType } from "react";
import { tell } from "../state/notices";
import { Boundary } from "./boundary";

const NOT_LOADED = "This part of the page could not be loaded. Try again, or load the page again.";

interface Closes {
  onClose: () => void;
}

/**
 * A dialog that is loaded when it is asked for. One that cannot be had, or fails, says so and closes, and is loaded
 * anew the next time: React's `lazy` would fail for good, and take with it all that no boundary is around.
 */
export function onDemand<P extends Closes>(load: () => Promise<{ default: ComponentType<P> }>): ComponentType<P> {
  let loaded: ComponentType<P> | null = null;
  return function OnDemand(props: P) {
    const [, show] = useState(loaded !== null);
    const { onClose } = props;
    const failed = (text: string) => {
      tell(text, "error");
      onClose();
    };
    useEffect(() => {
      if (loaded) return;
      let closed = false;
      load().then(
        (module) => {
          loaded = module.default;
          if (!closed) show(true);
        },
        () => {
          if (!closed) failed(NOT_LOADED);
        },
      );
      return () => void (closed = true);
    }, []);
    const Part = loaded;
    if (!Part) return null;
    return (
      <Boundary onProblem={(problem) => failed(problem.message)}>
        <Part {...props} />
      </Boundary>
    );
  };
}
