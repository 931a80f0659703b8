import { Component, type ComponentType, type FunctionComponent, createElement } from "preact";

/** Renders again only when a property has changed; `preact/compat` has this too, at four times the page's own weight. */
export function memo<P extends object>(render: FunctionComponent<P>): ComponentType<P> {
  return class extends Component<P> {
    override shouldComponentUpdate(next: P): boolean {
      return (Object.keys(next) as (keyof P)[]).some((key) => next[key] !== this.props[key]);
    }

    override render() {
      return createElement(render, this.props);
    }
  };
}
