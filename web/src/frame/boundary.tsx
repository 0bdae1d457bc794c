import { Component, type ReactNode } from "react";

/** Keeps a fault of one part from taking the rest of the page with it. */
export class Boundary extends Component<{ children: ReactNode }, { problem: Error | null }> {
  override state = { problem: null as Error | null };

  static getDerivedStateFromError(problem: Error) {
    return { problem };
  }

  override render() {
    if (!this.state.problem) return this.props.children;
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
