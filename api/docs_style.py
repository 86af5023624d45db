"""How the reference page looks: one column on a telephone, contents beside it on a desk; light or dark, as set."""

STYLE = """
:root{color-scheme:light dark;--line:#8883;--soft:#8881;--dim:color-mix(in srgb,currentColor 68%,transparent);
--get:#2563ab;--post:#2d7d46;--patch:#8a6d1d;--delete:#b3372f;--link:light-dark(#1d5fae,#7db4f5)}
*{box-sizing:border-box}
html{scroll-padding-top:1rem}
body{font:16px/1.6 system-ui,sans-serif;margin:0}
a{color:var(--link);text-decoration:none}a:hover{text-decoration:underline}
code,pre{font:.86em/1.5 ui-monospace,SFMono-Regular,Menlo,monospace}
code{background:var(--soft);padding:.1em .3em;border-radius:.25rem;overflow-wrap:anywhere}
pre{background:var(--soft);padding:.8rem 1rem;border-radius:.5rem;overflow:auto;max-height:28rem;margin:.4rem 0 1rem}
nav{padding:1.2rem;border-bottom:1px solid var(--line);font-size:.9rem}
nav b{display:block;font-size:1.05rem}
nav strong,nav summary{display:block;margin:.9rem 0 .2rem;font-weight:600}
nav summary{cursor:pointer}
nav a{display:flex;gap:.5rem;padding:.1rem 0;overflow-wrap:anywhere}
nav i{flex:none;width:2.6rem;font:600 .68rem/1.9 ui-monospace,monospace;text-transform:uppercase;color:var(--dim)}
main{padding:1.2rem;max-width:80rem}
h1{font-size:1.8rem;line-height:1.2;margin:.3rem 0 1rem}
h2{font-size:1.35rem;margin:3rem 0 .2rem;padding-top:1rem;border-top:1px solid var(--line)}
h2::first-letter{text-transform:uppercase}
h3{font:600 1rem/1.5 ui-monospace,monospace;overflow-wrap:anywhere;margin:0 0 .4rem}
h4{font-size:.82rem;margin:1.2rem 0 .3rem;text-transform:uppercase;letter-spacing:.04em;color:var(--dim)}
p{margin:.5rem 0;max-width:46rem}
.lead{color:var(--dim)}
section{margin:1.4rem 0;padding:1.1rem 1.2rem;border:1px solid var(--line);border-radius:.7rem}
.verb{display:inline-block;min-width:4.4rem;padding:.05rem .5rem;margin-right:.6rem;border-radius:.3rem;color:#fff;
background:var(--get);text-align:center;font-size:.82rem}
.post{background:var(--post)}.patch{background:var(--patch)}.delete{background:var(--delete)}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.9rem}
th,td{text-align:left;vertical-align:top;padding:.35rem .9rem .35rem 0;border-top:1px solid var(--line)}
th{border-top:0;font-weight:600;color:var(--dim)}
td:first-child,td code{white-space:nowrap}
tr:target{background:color-mix(in srgb,var(--link) 18%,transparent)}
em{font-style:normal;font-size:.78rem;color:var(--dim);margin-left:.4rem}
.in2{padding-left:1.2rem}.in3{padding-left:2.4rem}
@media(min-width:60rem){
body{display:grid;grid-template-columns:19rem minmax(0,1fr)}
nav{position:sticky;top:0;height:100vh;overflow-y:auto;border-bottom:0;border-right:1px solid var(--line)}
main{padding:1.5rem 2.5rem 4rem}}
@media(min-width:82rem){
.both{display:grid;grid-template-columns:minmax(0,1fr) minmax(0,1fr);gap:2rem}
.sample{position:sticky;top:1rem;align-self:start}}
"""
