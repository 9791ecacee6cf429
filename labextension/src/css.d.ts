/** A style sheet as text: `addStyles` adds it to the page. */
declare module '*.raw.css' {
  const text: string;
  export default text;
}
