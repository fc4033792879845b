/* Version 3 of DMA: mingw-w64's structures end before it. Included by the overlay's <wdm.h> before
 * mingw-w64's, whose definitions the two macros lengthen; bugcheck_dma_types.h comes after. */
#ifndef BUGCHECK_OVERLAY_DMA
#define BUGCHECK_OVERLAY_DMA

struct _DMA_ADAPTER_INFO;
struct _DMA_TRANSFER_INFO;
struct _DMA_COMMON_BUFFER_VECTOR;

/* The end of DEVICE_DESCRIPTION. */
#define DmaPort                    \
  DmaPort;                         \
  ULONG DmaAddressWidth;           \
  ULONG DmaControllerInstance;     \
  ULONG DmaRequestLine;            \
  PHYSICAL_ADDRESS DeviceAddress

/* DMA_COMPLETION_ROUTINE, whose name comes after. */
#define BUGCHECK_DMA_COMPLETION(Name)                                                                   \
  VOID(NTAPI *Name)(PDMA_ADAPTER DmaAdapter, struct _DEVICE_OBJECT * DeviceObject, PVOID CompletionContext, \
                    DMA_COMPLETION_STATUS Status)

/* The end of DMA_OPERATIONS. A node is a ULONG (NODE_REQUIREMENT), a caching type an int's pointer. */
#define BuildMdlFromScatterGatherList                                                                       \
  BuildMdlFromScatterGatherList;                                                                            \
  NTSTATUS(NTAPI *GetDmaAdapterInfo)(PDMA_ADAPTER, struct _DMA_ADAPTER_INFO *);                             \
  NTSTATUS(NTAPI *GetDmaTransferInfo)                                                                       \
  (PDMA_ADAPTER, PMDL, ULONGLONG Offset, ULONG Length, BOOLEAN WriteOnly, struct _DMA_TRANSFER_INFO *);     \
  NTSTATUS(NTAPI *InitializeDmaTransferContext)(PDMA_ADAPTER, PVOID DmaTransferContext);                    \
  PVOID(NTAPI *AllocateCommonBufferEx)                                                                      \
  (PDMA_ADAPTER, PPHYSICAL_ADDRESS MaximumAddress, ULONG Length, PPHYSICAL_ADDRESS LogicalAddress,          \
   BOOLEAN CacheEnabled, ULONG PreferredNode);                                                              \
  NTSTATUS(NTAPI *AllocateAdapterChannelEx)                                                                 \
  (PDMA_ADAPTER, PDEVICE_OBJECT, PVOID DmaTransferContext, ULONG NumberOfMapRegisters, ULONG Flags,         \
   PDRIVER_CONTROL ExecutionRoutine, PVOID ExecutionContext, PVOID *MapRegisterBase);                       \
  NTSTATUS(NTAPI *ConfigureAdapterChannel)(PDMA_ADAPTER, ULONG FunctionNumber, PVOID Context);              \
  BOOLEAN(NTAPI *CancelAdapterChannel)(PDMA_ADAPTER, PDEVICE_OBJECT, PVOID DmaTransferContext);             \
  NTSTATUS(NTAPI *MapTransferEx)                                                                            \
  (PDMA_ADAPTER, PMDL, PVOID MapRegisterBase, ULONGLONG Offset, ULONG DeviceOffset, PULONG Length,          \
   BOOLEAN WriteToDevice, struct _SCATTER_GATHER_LIST *ScatterGatherBuffer, ULONG ScatterGatherBufferLength, \
   BUGCHECK_DMA_COMPLETION(DmaCompletionRoutine), PVOID CompletionContext);                                 \
  NTSTATUS(NTAPI *GetScatterGatherListEx)                                                                   \
  (PDMA_ADAPTER, PDEVICE_OBJECT, PVOID DmaTransferContext, PMDL, ULONGLONG Offset, ULONG Length, ULONG Flags, \
   PDRIVER_LIST_CONTROL ExecutionRoutine, PVOID Context, BOOLEAN WriteToDevice,                             \
   BUGCHECK_DMA_COMPLETION(DmaCompletionRoutine), PVOID CompletionContext,                                  \
   struct _SCATTER_GATHER_LIST **ScatterGatherList);                                                        \
  NTSTATUS(NTAPI *BuildScatterGatherListEx)                                                                 \
  (PDMA_ADAPTER, PDEVICE_OBJECT, PVOID DmaTransferContext, PMDL, ULONGLONG Offset, ULONG Length, ULONG Flags, \
   PDRIVER_LIST_CONTROL ExecutionRoutine, PVOID Context, BOOLEAN WriteToDevice, PVOID ScatterGatherBuffer,  \
   ULONG ScatterGatherLength, BUGCHECK_DMA_COMPLETION(DmaCompletionRoutine), PVOID CompletionContext,       \
   PVOID ScatterGatherList);                                                                                \
  NTSTATUS(NTAPI *FlushAdapterBuffersEx)                                                                    \
  (PDMA_ADAPTER, PMDL, PVOID MapRegisterBase, ULONGLONG Offset, ULONG Length, BOOLEAN WriteToDevice);       \
  VOID(NTAPI *FreeAdapterObject)(PDMA_ADAPTER, IO_ALLOCATION_ACTION AllocationAction);                      \
  NTSTATUS(NTAPI *CancelMappedTransfer)(PDMA_ADAPTER, PVOID DmaTransferContext);                            \
  NTSTATUS(NTAPI *AllocateDomainCommonBuffer)                                                               \
  (PDMA_ADAPTER, HANDLE DomainHandle, PPHYSICAL_ADDRESS MaximumAddress, ULONG Length, ULONG Flags,          \
   MEMORY_CACHING_TYPE *CacheType, ULONG PreferredNode, PPHYSICAL_ADDRESS LogicalAddress,                   \
   PVOID *VirtualAddress);                                                                                  \
  NTSTATUS(NTAPI *FlushDmaBuffer)(PDMA_ADAPTER, PMDL, BOOLEAN ReadOperation);                               \
  NTSTATUS(NTAPI *JoinDmaDomain)(PDMA_ADAPTER, HANDLE DomainHandle);                                        \
  NTSTATUS(NTAPI *LeaveDmaDomain)(PDMA_ADAPTER);                                                            \
  HANDLE(NTAPI *GetDmaDomain)(PDMA_ADAPTER);                                                                \
  PVOID(NTAPI *AllocateCommonBufferWithBounds)                                                              \
  (PDMA_ADAPTER, PPHYSICAL_ADDRESS MinimumAddress, PPHYSICAL_ADDRESS MaximumAddress, ULONG Length, ULONG Flags, \
   MEMORY_CACHING_TYPE *CacheType, ULONG PreferredNode, PPHYSICAL_ADDRESS LogicalAddress);                  \
  NTSTATUS(NTAPI *AllocateCommonBufferVector)                                                               \
  (PDMA_ADAPTER, PHYSICAL_ADDRESS LowAddress, PHYSICAL_ADDRESS HighAddress, MEMORY_CACHING_TYPE CacheType,  \
   ULONG IdealNode, ULONG Flags, ULONG NumberOfElements, ULONGLONG SizeOfElements,                          \
   struct _DMA_COMMON_BUFFER_VECTOR **VectorOut);                                                           \
  VOID(NTAPI *GetCommonBufferFromVectorByIndex)                                                             \
  (PDMA_ADAPTER, struct _DMA_COMMON_BUFFER_VECTOR * Vector, ULONG Index, PVOID * VirtualAddressOut,         \
   PPHYSICAL_ADDRESS LogicalAddressOut);                                                                    \
  VOID(NTAPI *FreeCommonBufferFromVector)(PDMA_ADAPTER, struct _DMA_COMMON_BUFFER_VECTOR * Vector, ULONG Index); \
  VOID(NTAPI *FreeCommonBufferVector)(PDMA_ADAPTER, struct _DMA_COMMON_BUFFER_VECTOR * Vector)

#endif
