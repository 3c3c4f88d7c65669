"""The figures as tables for people and as JSON for machines."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench.measure import Plan, Results
from tests.bench.servers import MCPD, NGINX, SDK, Case


@dataclass(frozen=True)
class Report:
    """Everything that one benchmark found out; ``cold_s`` in seconds."""

    machine: str
    versions: dict[str, str]
    plan: Plan
    cases: tuple[Case, ...]
    results: Results
    cold_s: list[float]
    audit_rows: int
    audited_answers: int

    def print(self, console: Console) -> None:
        """Show the tables."""
        console.print(f"[bold]{self.machine}[/bold]")
        console.print(", ".join(f"{name} {number}" for name, number in self.versions.items()))
        plan = self.plan
        console.print(f"medians of {plan.rounds} interleaved rounds of {plan.seconds} s; ratios are taken per round\n")
        for case in self.cases:
            console.print(self._table(case))
        console.print(self._ratios())
        for name, (idle, after) in self.results.memory_mb.items():
            console.print(f"{name}: {idle:.0f} MB resident when idle, {after:.0f} MB after the load")
        low, middle, high = min(self.cold_s), median(self.cold_s), max(self.cold_s)
        console.print(
            f"cold start of mcpd through its socket: {middle:.2f} s from connect to answer ({low:.2f} to {high:.2f})"
        )
        console.print(f"mcpd's audit: {self.audit_rows} rows for {self.audited_answers} answered tool calls")

    def _table(self, case: Case) -> Table:
        table = Table(title=f"{case.operation.label}, {case.era}", title_justify="left")
        for heading in ("connections", "server", "requests/s", "p50 ms", "p99 ms", "CPU µs/req", "errors"):
            table.add_column(heading, justify="left" if heading == "server" else "right", no_wrap=True)
        for connections in self.plan.connections:
            for server in (MCPD, SDK, NGINX):
                cell = self.results.cell(case, connections, server)
                table.add_row(
                    str(connections),
                    server,
                    f"{cell.median('requests_per_s'):,.0f}",
                    f"{cell.median('p50_us') / 1000:.2f}",
                    f"{cell.median('p99_us') / 1000:.2f}",
                    f"{cell.median('cpu_us'):.1f}",
                    str(cell.errors),
                    end_section=server == NGINX,
                )
        return table

    def _ratios(self) -> Table:
        table = Table(title="mcpd against the others, audit committed before the answer", title_justify="left")
        table.add_column("operation")
        table.add_column("era", no_wrap=True)
        for heading in ("connec-\ntions", "requests/s\n× SDK", "requests/s\n× nginx", "CPU\n× SDK", "CPU\n× nginx"):
            table.add_column(heading, justify="right", no_wrap=True)
        for ratio in self.ratios():
            figures = (ratio["sdk"], ratio["nginx"], ratio["sdk_cpu"], ratio["nginx_cpu"])
            shown = (f"{figure:.1f}" if figure >= 5 else f"{figure:.2f}" for figure in figures)
            table.add_row(ratio["operation"], ratio["era"], str(ratio["connections"]), *shown)
        return table

    def ratios(self) -> list[dict[str, Any]]:
        """Return mcpd's requests/s as a multiple of the others', and how many times less CPU a request takes."""
        found = []
        for case in self.cases:
            for connections in self.plan.connections:
                ours, its, web = (self.results.cell(case, connections, name) for name in (MCPD, SDK, NGINX))
                found.append(
                    {
                        "operation": case.operation.label,
                        "era": case.era,
                        "connections": connections,
                        "sdk": ours.times(its),
                        "nginx": ours.times(web),
                        "sdk_cpu": ours.cpu_share(its),
                        "nginx_cpu": ours.cpu_share(web),
                    }
                )
        return found

    def json(self) -> str:
        """Return everything, samples included."""
        cells = [
            {
                "operation": case.operation.label,
                "era": case.era,
                "connections": connections,
                "server": server,
                "samples": [asdict(sample) for sample in cell.samples],
            }
            for (case, connections, server), cell in self.results.cells.items()
        ]
        document = {
            "machine": self.machine,
            "versions": self.versions,
            "plan": asdict(self.plan),
            "ratios": self.ratios(),
            "cells": cells,
            "memory_mb": self.results.memory_mb,
            "cold_start_s": self.cold_s,
            "audit": {"rows": self.audit_rows, "answers": self.audited_answers},
        }
        return json.dumps(document, indent=1)
