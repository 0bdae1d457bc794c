import { Component, type ReactNode } from "react";

interface Around {
  children: ReactNode;
  /** Told of a fault, and then nothing is shown; else the fault itself is. */
  onProblem?: (problem: Error) => void;
}

/** Keeps a fault of one part from taking the rest of the page with it. */
export class Boundary extends Component<Around, { problem: Error | null }> {
  override state = { problem: null as Error | null };

  static getDerivedStateFromError(problem: Error) {
    return { problem };
  }

  override componentDidCatch(problem: Error) {
    this.props.onProblem?.(problem);
  }

  override render() {
    if (!this.state.problem) return this.props.children;
    if (this.props.onProblem) return null;
    return (
      <div className="gate">
        <h1>This part of the page failed</h1>
        <p role="alert">{this.state.problem.message}</p>
        <button className="primary" onClick={() => location.reload()}>
          Load the page again
        </button>
      </div>
    );
  }
}
