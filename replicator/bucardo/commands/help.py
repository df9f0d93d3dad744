"""`bucardo_ctl help`: what each verb takes."""

from __future__ import annotations

from replicator.bucardo.nouns import LISTED, noun
from replicator.bucardo.session import Session

PAGES = {
    "activate": "activate SYNC... [SECONDS]\nLet syncs run. With SECONDS (0: without end) wait until they do.",
    "add": "add <type> NAME [name=value ...]\nMake something known. The type is one of: " + LISTED + ", all tables,\n"
    "all sequences. For more: bucardo_ctl help add <type>",
    "add code": "add customcode NAME whenrun=MOMENT src_code=FILE [sync=|goat= getdbh= getrows= trigrules= priority= "
    "active=]",
    "add db": "add db DBNAME [name= host= port= user= pass= conn= service= group= status=active|inactive ssp=\n"
    "  sourcelimit= targetlimit=]",
    "add dbgroup": "add dbgroup GROUP [DB ...]",
    "add herd": "add herd HERD [TABLE ...] [db=]",
    "add sequence": "add sequence NAME ... [db= herd= standard_conflict=source|target|skip|lowest|highest]",
    "add sync": "add sync NAME type=pushdelta|fullcopy|swap source=HERD|tables=A,B targetdb=DB|targetgroup=GROUP\n"
    "  [standard_conflict= makedelta= ping= checktime= onetimecopy=0|1|2 deletemethod=delete|truncate status= ...]",
    "add table": "add table NAME ... [db= herd= standard_conflict=source|target|skip|random|latest|abort ...]",
    "deactivate": "deactivate SYNC... [SECONDS]\nLet syncs rest, also over restarts. With SECONDS wait until they do.",
    "delete": "delete <type> NAME ...\nThe same as remove.",
    "inspect": "inspect table NAME ...\nShow what a table refers to, and what refers to it.",
    "install": "install [--dbhost= --dbport= --dbuser= --dbname= --piddir= --batch]\nMake the role, the database and "
    "the catalog.",
    "kick": "kick SYNC... [SECONDS] [--retry=N --retrysleep=N --notimer]\nRun syncs now: names, patterns (* or %), or "
    "all [copy|delta|swap] [active].\nWith SECONDS (0: without end) wait until they have. Exit code 1: the time is "
    "over, 2: a run failed.",
    "list": "list <type> [NAME ...] [-v|-vv]\nShow what is known. The type is one of: " + LISTED,
    "message": "message TEXT\nWrite a note into the log.",
    "ping": "ping [SECONDS]\nSee whether the daemon lives (15 seconds). Exit code 0: yes, 1: no.",
    "reload": "reload SYNC...\nHave syncs begin anew.",
    "reload_config": "reload_config [SECONDS]\nHave the daemon read the settings again.",
    "remove": "remove <type> NAME ...\nForget something. The type is one of: " + LISTED,
    "restart": "restart [REASON]\nStop and start the daemon.",
    "set": "set SETTING=VALUE ...\nChange settings: see bucardo_ctl show all -v",
    "show": "show all|SETTING ... [-v]\nShow settings; -v: and what each does.",
    "start": "start [REASON]\nStart the daemon, in place of one that runs.",
    "status": "status [SYNC ...] [--sort=1..9 --daysback=3 --showdays --compress]\nShow how syncs stand.",
    "stop": "stop [REASON]\nStop the daemon.",
    "update": "update <type> NAME name=value ...\nChange something. Also: update sync S add|remove table T ...,\n"
    "update dbgroup G add|remove DB ...",
    "upgrade": "upgrade\nBring the catalog up to date.",
    "validate": "validate SYNC...|all\nSee whether syncs can work on their servers.",
}


def run(session: Session) -> int:
    """Print a page."""
    words = session.line.words
    return page(words[0] if words else "", words[1] if len(words) > 1 else "")


def page(verb: str, about: str) -> int:
    """Print the page of a verb (and noun), or the list of verbs; the exit code is 1 when there is no such page."""
    lower = {"config": "show", "list": "list"}.get(verb.lower(), verb.lower())
    text = PAGES.get(f"{lower} {noun(about) or about}".strip(), PAGES.get(lower))
    if not lower or lower == "help":
        verbs = "\n".join(f"  {name}" for name in PAGES if " " not in name)
        print(f"Usage: bucardo_ctl <action> [options]\nThe actions:\n{verbs}\nFor more: bucardo_ctl help <action>")
        return 0
    if text is None:
        print(f'Unknown action: "{verb}". See `bucardo_ctl help`.')
        return 1
    print(f"Usage: bucardo_ctl {text}")
    return 0
